package spec

import (
	"errors"
	"strings"
	"testing"

	"berth/libcontainer/fault"
)

// checkError returns what is wrong with an error of decoding, or nothing.
func checkError(err error) string {
	var e *fault.Error
	switch {
	case !errors.As(err, &e):
		return "not a *fault.Error: " + err.Error()
	case e.Pos == "" || e.Msg == "":
		return "no position or no message: " + err.Error()
	case strings.Contains(err.Error(), "\n"):
		return "more than one line: " + err.Error()
	}
	return ""
}

// FuzzDecode holds the decoder to encoding/json's reading of any text, and
// validation to never panicking on what was decoded.
func FuzzDecode(f *testing.F) {
	for _, data := range configs(f) {
		f.Add(data)
	}
	for _, c := range lexerCases {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if msg := agree(data, Decode); msg != "" {
			t.Errorf("Decode: %s", msg)
		}
		if s, _, err := Decode(data); err == nil {
			Validate(s)
			Warnings(s)
		}
		if msg := agree(data, DecodeProcess); msg != "" {
			t.Errorf("DecodeProcess: %s", msg)
		}
		if msg := agree(data, DecodeResources); msg != "" {
			t.Errorf("DecodeResources: %s", msg)
		}
		if msg := agree(data, DecodeState); msg != "" {
			t.Errorf("DecodeState: %s", msg)
		}
	})
}
