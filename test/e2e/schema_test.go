package e2e

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	own "leasehold/internal/api"
)

// described are the types of the client by the name of their schema.
var described = map[string]reflect.Type{
	"Status": reflect.TypeFor[own.Status](), "LeasePage": reflect.TypeFor[own.LeasePage](), "Explanation": reflect.TypeFor[own.Explanation](),
	"Readiness": reflect.TypeFor[own.Readiness](), "Liveness": reflect.TypeFor[own.Liveness](),
	"Clear": reflect.TypeFor[own.Clear](), "Errors": reflect.TypeFor[own.Errors](),
}

// What the client reads is what the description says: each has every field of the other, of the same kind, and what is always there is required.
func TestTypesAndSchemasAgree(t *testing.T) {
	doc := loadDescription(t)
	for name, typ := range described {
		schema := doc.Components.Schemas[name]
		if schema == nil {
			t.Errorf("there is no schema %s", name)
			continue
		}
		agree(t, name, typ, schema.Value)
	}
}

func agree(t *testing.T, at string, typ reflect.Type, s *openapi3.Schema) {
	t.Helper()
	want := "object"
	switch {
	case typ.Kind() == reflect.Pointer:
		agree(t, at, typ.Elem(), s)
		return
	case typ == reflect.TypeFor[time.Time]():
		if want = "string"; s.Format != "date-time" {
			t.Errorf("%s: the schema has the format %q, want date-time", at, s.Format)
		}
	case typ.Kind() == reflect.Slice:
		want = "array"
		agree(t, at+"[]", typ.Elem(), s.Items.Value)
	case typ.Kind() == reflect.Struct:
		fieldsAgree(t, at, typ, s)
	case typ.Kind() == reflect.Map:
	case typ.Kind() == reflect.String:
		want = "string"
	case typ.Kind() == reflect.Bool:
		want = "boolean"
	case typ.Kind() == reflect.Float64:
		want = "number"
	default:
		want = "integer"
	}
	if !s.Type.Is(want) {
		t.Errorf("%s: a %v here, and %v in the schema", at, typ, s.Type)
	}
}

func fieldsAgree(t *testing.T, at string, typ reflect.Type, s *openapi3.Schema) {
	t.Helper()
	var names []string
	for i := range typ.NumField() {
		name, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
		property := s.Properties[name]
		if property == nil {
			t.Errorf("%s: the schema has no %s", at, name)
			continue
		}
		if always := options == ""; always != slices.Contains(s.Required, name) {
			t.Errorf("%s.%s: always there is %v here, and %v in the schema", at, name, always, !always)
		}
		agree(t, at+"."+name, typ.Field(i).Type, property.Value)
	}
	for name := range s.Properties {
		if !slices.Contains(names, name) {
			t.Errorf("%s: %s is in the schema alone", at, name)
		}
	}
}

// The examples are answers that the client reads whole.
func TestExamplesAreRead(t *testing.T) {
	doc, read := loadDescription(t), 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status, r := range op.Responses.Map() {
				media := r.Value.Content.Get("application/json")
				if media == nil || media.Example == nil {
					continue
				}
				schema := media.Schema.Ref[strings.LastIndexByte(media.Schema.Ref, '/')+1:]
				if schema == "Summary" { // Vault's form, which the client does not read
					if err := media.Schema.Value.VisitJSON(media.Example); err != nil {
						t.Errorf("%s %s %s: %v", method, path, status, err)
					}
					continue
				}
				typ := described[schema]
				text, err := json.Marshal(media.Example)
				if err != nil || typ == nil {
					t.Fatalf("%s %s %s: %v, %v", method, path, status, typ, err)
				}
				d := json.NewDecoder(bytes.NewReader(text))
				d.DisallowUnknownFields()
				v := reflect.New(typ)
				if err := d.Decode(v.Interface()); err != nil {
					t.Errorf("%s %s %s: %v", method, path, status, err)
				}
				var again any
				text, _ = json.Marshal(v.Interface())
				_ = json.Unmarshal(text, &again)
				if err := media.Schema.Value.VisitJSON(again); err != nil {
					t.Errorf("%s %s %s: %v", method, path, status, err)
				}
				read++
			}
		}
	}
	if read < 14 {
		t.Errorf("only %d examples were read", read)
	}
}
