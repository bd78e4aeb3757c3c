package main

import (
	"bytes"
	"os"
	"testing"
)

// TestCurrent fails when decode_gen.go is not what the generator would write
// today: somebody changed the generator, the version of the runtime-spec, or the
// file.
func TestCurrent(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../decode_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("decode_gen.go is out of date: run go generate ./spec")
	}
}
