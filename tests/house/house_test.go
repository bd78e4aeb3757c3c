// Package house checks the rules that keep the source a place to live in: what
// the binary links, which package may know which, how long a file may be.
package house

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write linked.txt anew")

const top = "../.."

// sources are the Go files of the project, generated ones too.
func sources(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(top, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != top && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "scratch") {
			return filepath.SkipDir
		}
		if ext := filepath.Ext(p); !d.IsDir() && (ext == ".go" || ext == ".s") {
			all = append(all, p)
		}
		return nil
	})
	if err != nil || len(all) < 50 {
		t.Fatalf("%d sources, %v", len(all), err)
	}
	return all
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestLinked holds the list of packages that the binary links against the checked
// one: each is paid for at every start, so a new one must be argued for. Run with
// -update after that.
func TestLinked(t *testing.T) {
	got := goList(t, "-deps", "-tags", "urfave_cli_no_docs", "-f", "{{if .Standard}}std {{end}}{{.ImportPath}}", ".")
	got = slices.DeleteFunc(got, func(s string) bool {
		// What package runtime is made of is Go's own affair.
		return s == "" || strings.HasPrefix(s, "std internal/") || strings.HasPrefix(s, "std runtime") || strings.HasPrefix(s, "std vendor/")
	})
	slices.Sort(got)
	text := strings.Join(got, "\n") + "\n"
	if *update {
		if err := os.WriteFile("linked.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("linked.txt")
	if err != nil {
		t.Fatal(err)
	}
	if text == string(want) {
		return
	}
	have := strings.Split(strings.TrimSpace(string(want)), "\n")
	for _, p := range got {
		if !slices.Contains(have, p) {
			t.Errorf("the binary now links %s", p)
		}
	}
	for _, p := range have {
		if !slices.Contains(got, p) {
			t.Errorf("the binary no longer links %s", p)
		}
	}
}

// TestForbidden names what must never be linked: what it costs at start is in
// docs/design.md. (regexp and text/template come with urfave/cli, and are set up
// only when its App is used; net comes with godbus, and costs 0.05 ms.)
func TestForbidden(t *testing.T) {
	for _, p := range goList(t, "-deps", "-tags", "urfave_cli_no_docs", ".") {
		switch p {
		case "net/http", "crypto/tls", "html/template", "log", "log/slog", "C", "runtime/cgo", "plugin":
			t.Errorf("the binary links %s", p)
		}
	}
}

// arrows says which packages a package of the library may import: those further
// down. What is not named may import none of them.
var arrows = map[string][]string{
	"berth":                         {"berth/cli"},
	"berth/cli":                     {"berth/bundles", "berth/bundles/hostfs", "berth/libcontainer", "berth/libcontainer/fault", "berth/libcontainer/foreground", "berth/libcontainer/jsonw", "berth/libcontainer/host", "berth/libcontainer/logs", "berth/libcontainer/program", "berth/libcontainer/cgroups", "berth/libcontainer/seccomp", "berth/libcontainer/seccomp/audit", "berth/libcontainer/seccomp/record", "berth/libcontainer/state", "berth/spec", "berth/libcontainer/sys"},
	"berth/bundles":                 {"berth/bundles/hostfs", "berth/libcontainer/fault", "berth/libcontainer/host"},
	"berth/bundles/hostfs":          {"berth/libcontainer/fault"},
	"berth/spec":                    {"berth/libcontainer/fault", "berth/libcontainer/sys"},
	"berth/libcontainer":            {"berth/libcontainer/cgroups", "berth/libcontainer/compile", "berth/libcontainer/console", "berth/libcontainer/fault", "berth/libcontainer/host", "berth/libcontainer/jsonw", "berth/libcontainer/logs", "berth/libcontainer/notify", "berth/libcontainer/program", "berth/libcontainer/seccomp", "berth/libcontainer/state", "berth/libcontainer/sys", "berth/libcontainer/unixsocket", "berth/spec"},
	"berth/libcontainer/compile":    {"berth/libcontainer/fault", "berth/libcontainer/host", "berth/libcontainer/program", "berth/libcontainer/seccomp", "berth/spec", "berth/libcontainer/sys"},
	"berth/libcontainer/program":    {"berth/libcontainer/fault", "berth/libcontainer/sys"},
	"berth/libcontainer/cgroups":    {"berth/libcontainer/cgroups/devfilter", "berth/libcontainer/cgroups/systemd", "berth/libcontainer/fault", "berth/libcontainer/host", "berth/libcontainer/sys"},
	"berth/libcontainer/state":      {"berth/libcontainer/fault", "berth/libcontainer/sys", "berth/libcontainer/jsonw"},
	"berth/libcontainer/host":       {"berth/libcontainer/fault", "berth/libcontainer/sys"},
	"berth/libcontainer/console":    {"berth/libcontainer/fault", "berth/libcontainer/unixsocket"},
	"berth/libcontainer/notify":     {"berth/libcontainer/fault", "berth/libcontainer/unixsocket", "berth/libcontainer/sys"},
	"berth/libcontainer/unixsocket": {"berth/libcontainer/sys"},
	"berth/libcontainer/sys":        {"berth/libcontainer/fault"},
	"berth/libcontainer/foreground": {"berth/libcontainer", "berth/libcontainer/console", "berth/libcontainer/fault", "berth/libcontainer/sys"},
	"berth/libcontainer/jsonw":      nil,
	"berth/libcontainer/fault":      nil,
	"berth/libcontainer/logs":       nil,
	"berth/spec/gen":                nil,

	"berth/libcontainer/cgroups/devfilter":    {"berth/libcontainer/fault"},
	"berth/libcontainer/cgroups/systemd":      {"berth/libcontainer/fault"},
	"berth/libcontainer/seccomp":              nil,
	"berth/libcontainer/seccomp/audit":        {"berth/libcontainer/seccomp"},
	"berth/libcontainer/seccomp/record":       {"berth/libcontainer/fault", "berth/libcontainer/seccomp", "berth/libcontainer/unixsocket"},
	"berth/libcontainer/seccomp/internal/gen": nil,
}

// TestArrows sees that arrows between packages point down.
func TestArrows(t *testing.T) {
	for _, line := range goList(t, "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...") {
		f := strings.Fields(line)
		if strings.HasPrefix(f[0], "berth/tests") || f[0] == "berth/scratch" {
			continue
		}
		may, known := arrows[f[0]]
		if !known {
			t.Errorf("package %s has no place in the house: add it to the table", f[0])
		}
		for _, imp := range f[1:] {
			if strings.HasPrefix(imp, "berth") && !slices.Contains(may, imp) {
				t.Errorf("%s imports %s", f[0], imp)
			}
		}
	}
}

// TestHotPackages sees that what every create goes through has no import that is
// dear at start.
func TestHotPackages(t *testing.T) {
	for _, line := range goList(t, "-f", "{{if ne .Name \"main\"}}{{.ImportPath}} {{join .Imports \" \"}}{{end}}", "./spec", "./libcontainer/...") {
		f := strings.Fields(line)
		for _, imp := range f[min(1, len(f)):] {
			switch imp {
			case "encoding/json", "reflect", "fmt", "log", "regexp", "text/template", "net":
				t.Errorf("%s imports %s", f[0], imp)
			}
		}
	}
}

// TestFileLength: a file of more than 600 lines has too many reasons to be.
func TestFileLength(t *testing.T) {
	for _, p := range sources(t) {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\n")); n > 600 && !strings.HasSuffix(p, "_gen.go") {
			t.Errorf("%s has %d lines", p, n)
		}
	}
}

// TestFunctionLength: a function that has to be scrolled is more than one.
func TestFunctionLength(t *testing.T) {
	const most = 75
	for _, p := range sources(t) {
		if filepath.Ext(p) != ".go" || strings.HasSuffix(p, "_gen.go") || strings.HasSuffix(p, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line; n > most {
					t.Errorf("%s: %s has %d lines", p, fn.Name.Name, n)
				}
			}
		}
	}
}

// TestPackageComments: each package says in one place why it is there.
func TestPackageComments(t *testing.T) {
	docs := map[string]int{}
	for _, p := range sources(t) {
		if filepath.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(p)
		docs[dir] += 0
		if f.Doc != nil {
			docs[dir]++
		}
	}
	for dir, n := range docs {
		if n != 1 {
			t.Errorf("%s: %d package comments", dir, n)
		}
	}
}
