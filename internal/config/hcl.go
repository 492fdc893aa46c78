package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/scanner"
	"github.com/hashicorp/hcl/hcl/token"
)

// parseHCL reads HCL 1. The library panics on some malformed texts; here, and only here, that becomes a problem of the file.
func parseHCL(name string, src []byte) (root *body, problem *Problem) {
	r := hclReader{at: Pos{File: name, Line: 1, Column: 1}}
	defer func() {
		if recover() != nil {
			root, problem = nil, &Problem{Pos: r.at, Text: "the parser cannot read this", Remedy: "check the quotes and heredocs from here on"}
		}
	}()
	if problem := r.checkNesting(src); problem != nil {
		return nil, problem
	}
	// Repeated arguments are found by dropRepeated, all of them and with their places; the parser would stop at the first.
	file, err := parser.ParseDontErrorOnDuplicateKeys(src)
	if err != nil {
		return nil, r.syntax(err)
	}
	return r.body(file.Node.(*ast.ObjectList)), nil
}

// hclReader copies hcl's tree into ours. at is the last place it looked at.
type hclReader struct {
	at Pos
}

func (r *hclReader) move(p token.Pos) Pos {
	r.at.Line, r.at.Column = p.Line, p.Column
	return r.at
}

// checkNesting guards the recursive parser. It also sees an "=" at the end of the file, which the parser drops without a word.
func (r *hclReader) checkNesting(src []byte) *Problem {
	s := scanner.New(src)
	s.Error = func(token.Pos, string) {} // the parser meets the same errors and reports them
	depth := 0
	var previous token.Token
	for {
		tok := s.Scan()
		switch tok.Type {
		case token.LBRACE, token.LBRACK:
			depth++
		case token.RBRACE, token.RBRACK:
			depth--
		case token.COMMENT:
			continue
		case token.EOF:
			if previous.Type == token.ASSIGN {
				return &Problem{Pos: r.move(previous.Pos), Text: `the value after "=" is missing`, Remedy: "complete or remove the last line"}
			}
			return nil
		}
		if depth > maxDepth {
			return tooDeep(r.move(tok.Pos))
		}
		previous = tok
	}
}

// syntaxErrors are the parser's usual complaints, known by a part of their text.
var syntaxErrors = []struct{ sign, text, remedy string }{
	{"Unknown token", "a value is missing or not in quotes", "write text in double quotes"},
	{"expected start of object", "a key or a block has no value", "write key = value, or name { ... }"},
	{"literal not terminated", "a text does not end on its line", "close it with a double quote"},
	{"heredoc not terminated", "a heredoc does not end", "write its mark alone on the line after it"},
	{"closing RBRACE got", "a block does not end", "close it with a brace"},
}

// syntax puts the parser's error in words. The parser quotes the text it stumbled over, which may be a secret: that is left out.
func (r *hclReader) syntax(err error) *Problem {
	text := err.Error()
	if at, ok := errors.AsType[*parser.PosError](err); ok {
		r.move(at.Pos)
		text = at.Err.Error()
	}
	// Every list around the place has wrapped the error once more, with its own place.
	const around = "error while trying to parse list within list: "
	if i := strings.LastIndex(text, around); i >= 0 {
		_, text, _ = strings.Cut(text[i+len(around):], ": ")
	}
	p := &Problem{Pos: r.at, Text: "syntax error: " + text, Remedy: "check this line and the one before"}
	for _, known := range syntaxErrors {
		if strings.Contains(text, known.sign) {
			p.Text, p.Remedy = known.text, known.remedy
			break
		}
	}
	return p
}

func (r *hclReader) body(list *ast.ObjectList) *body {
	b := &body{items: make([]item, 0, len(list.Items))}
	for _, in := range list.Items {
		out := item{pos: r.move(in.Pos()), once: in.Assign.IsValid()}
		for i, k := range in.Keys {
			if key := fmt.Sprint(k.Token.Value()); i == 0 {
				out.key = key
			} else {
				out.labels = append(out.labels, key)
			}
		}
		out.value = r.value(in.Val)
		b.items = append(b.items, out)
	}
	return b
}

func (r *hclReader) value(node ast.Node) value {
	v := value{pos: r.move(node.Pos())}
	switch n := node.(type) {
	case *ast.ObjectType:
		v.data = r.body(n.List)
	case *ast.ListType:
		list := make([]value, 0, len(n.List))
		for _, element := range n.List {
			list = append(list, r.value(element))
		}
		v.data = list
	case *ast.LiteralType:
		if n.Token.Type == token.NUMBER || n.Token.Type == token.FLOAT {
			v.data = number(n.Token.Text)
		} else {
			v.data = n.Token.Value()
		}
	}
	return v
}
