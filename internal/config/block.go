package config

import "strings"

// block is an item that was found to be a block: its labels and its body.
type block struct {
	pos    Pos
	labels []string
	body   *body
}

// blocks returns the blocks that an item stands for: one for an object, one for each element of a list of objects.
func (it item) blocks() ([]block, bool) {
	switch v := it.value.data.(type) {
	case *body:
		return []block{{it.pos, it.labels, v}}, true
	case []value:
		found := make([]block, 0, len(v))
		for _, element := range v {
			b, ok := element.data.(*body)
			if !ok {
				return nil, false
			}
			found = append(found, block{element.pos, it.labels, b})
		}
		return found, true
	default:
		return nil, false
	}
}

// typed makes one block out of each type that an unlabelled block holds: JSON writes listener "tcp" {} as {"listener": {"tcp": {}}}.
// Like Vault's reader it goes by the shape: a block that holds nothing but blocks, none of which the table knows.
func typed(blocks []block, known table) []block {
	var all []block
	for _, b := range blocks {
		if inner, ok := labelled(b, known); ok {
			all = append(all, inner...)
		} else {
			all = append(all, b)
		}
	}
	return all
}

func labelled(b block, known table) ([]block, bool) {
	if len(b.labels) > 0 || len(b.body.items) == 0 {
		return nil, false
	}
	var all []block
	for _, it := range b.body.items {
		inner, ok := it.blocks()
		if _, isKey := known[strings.ToLower(it.key)]; !ok || isKey {
			return nil, false
		}
		for _, t := range inner {
			all = append(all, block{t.pos, append([]string{it.key}, t.labels...), t.body})
		}
	}
	return all, true
}

// typeOf returns a block's type in lower case, "" when it has none. The type key wins over the label.
func (d *decoder) typeOf(s section, b block) string {
	d.idleLabels(s, b, 1)
	if t := s.String("type"); t != "" || len(b.labels) == 0 {
		return strings.ToLower(t)
	}
	d.origins.set(s.prefix+"type", strings.ToLower(b.labels[0]), Source{Kind: SourceFile, Pos: b.pos})
	return strings.ToLower(b.labels[0])
}
