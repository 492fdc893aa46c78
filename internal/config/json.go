package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// parseJSON reads the JSON form of a file that begins with a brace. hcl's own JSON reader is not used: it accepts files that are cut off, loses
// booleans in lists and the places of objects, and cannot tell a repeated key from a list of blocks.
func parseJSON(name string, src []byte) (*body, *Problem) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	r := jsonReader{dec: dec, src: src, at: Pos{File: name, Line: 1, Column: 1}}
	v, problem := r.value(0)
	if problem != nil {
		return nil, problem
	}
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		return nil, &Problem{Pos: r.at, Text: "there is more text after the closing brace", Remedy: "remove it"}
	}
	return v.data.(*body), nil
}

// jsonReader builds the tree from tokens. at is the place of the last one, which begins at src[offset].
type jsonReader struct {
	dec    *json.Decoder
	src    []byte
	offset int
	at     Pos
}

// next returns the next token and moves at to its first character.
func (r *jsonReader) next() (json.Token, error) {
	start := int(r.dec.InputOffset())
	for start < len(r.src) && bytes.IndexByte([]byte(" \t\r\n,:"), r.src[start]) >= 0 {
		start++
	}
	passed := r.src[r.offset:start]
	if newlines := bytes.Count(passed, []byte("\n")); newlines > 0 {
		r.at.Line += newlines
		r.at.Column = 1
		passed = passed[bytes.LastIndexByte(passed, '\n')+1:]
	}
	r.at.Column += utf8.RuneCount(passed)
	r.offset = start
	return r.dec.Token()
}

func (r *jsonReader) value(depth int) (value, *Problem) {
	tok, err := r.next()
	if err != nil {
		return value{}, r.syntax(err)
	}
	v := value{pos: r.at}
	switch t := tok.(type) {
	case json.Delim:
		if depth == maxDepth {
			return value{}, tooDeep(r.at)
		}
		var problem *Problem
		if t == '{' {
			v.data, problem = r.body(depth + 1)
		} else {
			v.data, problem = r.list(depth + 1)
		}
		return v, problem
	case json.Number:
		v.data = number(t)
	default:
		v.data = tok // bool, string or nil
	}
	return v, nil
}

func (r *jsonReader) body(depth int) (*body, *Problem) {
	b := &body{}
	for {
		tok, err := r.next()
		if err != nil {
			return nil, r.syntax(err)
		}
		key, ok := tok.(string)
		if !ok { // the decoder lets nothing but a key or the closing brace stand here
			return b, nil
		}
		it := item{pos: r.at, key: key, once: true}
		v, problem := r.value(depth)
		if problem != nil {
			return nil, problem
		}
		if v.data == nil {
			continue // null means not set
		}
		it.value = v
		b.items = append(b.items, it)
	}
}

func (r *jsonReader) list(depth int) ([]value, *Problem) {
	var list []value
	for r.dec.More() {
		v, problem := r.value(depth)
		if problem != nil {
			return nil, problem
		}
		list = append(list, v)
	}
	if _, err := r.next(); err != nil { // the closing bracket
		return nil, r.syntax(err)
	}
	return list, nil
}

func (r *jsonReader) syntax(err error) *Problem {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Problem{Pos: r.at, Text: "the JSON ends too early", Remedy: "check the braces, brackets and quotes"}
	}
	return &Problem{Pos: r.at, Text: "JSON syntax error: " + err.Error(), Remedy: "check this line and the one before"}
}
