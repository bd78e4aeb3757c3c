package spec

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestLoad(t *testing.T) {
	data := configs(t)["docker-default.json"]
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, raw, unknown, err := Load(path)
	if err != nil || len(unknown) > 0 {
		t.Fatal(unknown, err)
	}
	if !bytes.Equal(raw, data) {
		t.Error("the bytes differ from the file's")
	}
	if want, _, _ := Decode(data); !reflect.DeepEqual(s, want) {
		t.Error("decoded differently from a file")
	}
}

// TestLoadMissing is BND-1: engines look for this sentence.
func TestLoadMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	_, _, _, err := Load(path)
	if err == nil || !strings.HasPrefix(err.Error(), "JSON specification file config.json not found") {
		t.Errorf("got %v", err)
	}
	if !errors.Is(err, os.ErrNotExist) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v does not wrap ENOENT", err)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	if _, _, _, err := Load(dir); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("directory: %v", err)
	}
	if _, _, _, err := Load(dir + "/file/config.json"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("no such directory: %v", err)
	}
	bad := filepath.Join(dir, "config.json")
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Load(bad); err == nil || !strings.Contains(err.Error(), "(config.json:1:2)") {
		t.Errorf("bad JSON: %v", err)
	}
	if _, _, _, err := Load(bad + "/x"); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("not a directory: %v", err)
	}
}

// TestReadFileLimit checks both sides of the limit, with a sparse file.
func TestReadFileLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		size int64
		ok   bool
	}{{0, true}, {1, true}, {MaxSize, true}, {MaxSize + 1, false}, {MaxSize * 64, false}} {
		if err := f.Truncate(c.size); err != nil {
			t.Fatal(err)
		}
		data, err := ReadFile(path)
		if (err == nil) != c.ok || c.ok && int64(len(data)) != c.size {
			t.Errorf("size %d: %d bytes, error %v", c.size, len(data), err)
		}
	}
}

// TestReadFilePipe reads what has no size: `exec --process` may be given one.
func TestReadFilePipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := bytes.Repeat([]byte("x"), 5000)
	go func() {
		for i := 0; i < len(want); i += 500 {
			w.Write(want[i : i+500])
		}
		w.Close()
	}()
	got, err := ReadFile("/proc/self/fd/" + strconv.Itoa(int(r.Fd())))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
}

func TestDecodeTooLarge(t *testing.T) {
	if _, _, err := Decode(make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("got %v", err)
	}
}
