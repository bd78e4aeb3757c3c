package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"
	"unicode/utf8"
)

// The oracle says what Decode has to make of a text: what encoding/json makes of
// it, except where the runtime-spec wants more. It prunes the text to the
// properties whose names match exactly, so that encoding/json cannot match them
// without regard to case, and then has encoding/json decode the rest.

// must lists the properties that the decoder itself misses when absent.
var must = map[string][]string{
	"LinuxDevice":            {"major", "minor"},
	"LinuxDeviceCgroup":      {"allow"},
	"LinuxHugepageLimit":     {"limit"},
	"LinuxIDMapping":         {"containerID", "hostID", "size"},
	"LinuxInterfacePriority": {"priority"},
	"LinuxSeccompArg":        {"index", "value"},
	"LinuxThrottleDevice":    {"major", "minor", "rate"},
	"LinuxWeightDevice":      {"major", "minor"},
	"POSIXRlimit":            {"hard", "soft"},
}

// foreign lists the properties of specs.Spec for platforms other than Linux.
var foreign = map[string]bool{"windows": true, "solaris": true, "zos": true, "vm": true, "freebsd": true}

// oracle decodes data into v, a pointer to a struct, or says why it must be
// refused. It returns the paths of unknown properties, in no order.
func oracle(data []byte, v any) (unknown []string, err error) {
	switch {
	case !json.Valid(data):
		return nil, errors.New("not JSON")
	case !utf8.Valid(data):
		return nil, errors.New("not UTF-8")
	case bytes.TrimLeft(data, " \t\r\n")[0] != '{':
		return nil, errors.New("not an object")
	}
	if err := checkNames(json.NewDecoder(bytes.NewReader(data)), 0); err != nil {
		return nil, err
	}
	p := pruner{}
	pruned := p.prune(data, reflect.TypeOf(v).Elem(), "")
	if err := json.Unmarshal(pruned, v); err != nil {
		return nil, err
	}
	if len(p.lacking) > 0 {
		return nil, errors.New("lacking " + strings.Join(p.lacking, ", "))
	}
	return p.unknown, nil
}

// checkNames reads one value and refuses a name that stands twice in one object,
// and nesting beyond what the decoder allows.
func checkNames(dec *json.Decoder, depth int) error {
	dec.UseNumber()
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth++; depth > maxDepth {
		return errors.New("too deep")
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if seen[name.(string)] {
				return fmt.Errorf("duplicate %q", name)
			}
			seen[name.(string)] = true
		}
		if err := checkNames(dec, depth); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil && err != io.EOF {
		return err
	}
	return nil
}

type pruner struct{ unknown, lacking []string }

// prune returns raw without the properties that t does not have.
func (p *pruner) prune(raw json.RawMessage, t reflect.Type, path string) json.RawMessage {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		var m map[string]json.RawMessage
		if json.Unmarshal(raw, &m) != nil || m == nil {
			return raw
		}
		return p.pruneObject(m, t, path)
	case reflect.Map:
		var m map[string]json.RawMessage
		if json.Unmarshal(raw, &m) != nil || m == nil {
			return raw
		}
		for name, value := range m {
			m[name] = p.prune(value, t.Elem(), field(path, name))
		}
		return encode(m)
	case reflect.Slice:
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil || list == nil {
			return raw
		}
		for i, value := range list {
			list[i] = p.prune(value, t.Elem(), index(path, i))
		}
		return encode(list)
	}
	return raw
}

func (p *pruner) pruneObject(m map[string]json.RawMessage, t reflect.Type, path string) json.RawMessage {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && !foreign[name] {
			fields[name] = f.Type
		}
	}
	for _, name := range must[t.Name()] {
		fifo := t.Name() == "LinuxDevice" && isFIFO(m["type"])
		if value, ok := m[name]; (!ok || string(value) == "null") && !fifo {
			p.lacking = append(p.lacking, field(path, name))
		}
	}
	for name, value := range m {
		if ft, ok := fields[name]; ok {
			m[name] = p.prune(value, ft, field(path, name))
			continue
		}
		p.unknown = append(p.unknown, field(path, name))
		delete(m, name)
	}
	return encode(m)
}

func isFIFO(raw json.RawMessage) bool {
	var s string
	return json.Unmarshal(raw, &s) == nil && s == "p"
}

func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// agree compares one of the entry points with the oracle, and returns what is
// wrong, or nothing.
func agree[T any](data []byte, decode func([]byte) (*T, []string, error)) string {
	want := new(T)
	wantUnknown, wantErr := oracle(data, want)
	got, unknown, err := decode(data)
	switch {
	case (err == nil) != (wantErr == nil):
		return fmt.Sprintf("error %v, want %v", err, wantErr)
	case err != nil:
		return checkError(err)
	case !reflect.DeepEqual(got, want):
		return fmt.Sprintf("got %s, want %s", encode(got), encode(want))
	}
	if len(wantUnknown) > maxUnknown {
		return ""
	}
	sort.Strings(unknown)
	sort.Strings(wantUnknown)
	if !reflect.DeepEqual(unknown, wantUnknown) {
		return fmt.Sprintf("unknown %q, want %q", unknown, wantUnknown)
	}
	return ""
}
