package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"berth/libcontainer"
	"berth/libcontainer/fault"
	"berth/libcontainer/host"
	"berth/libcontainer/jsonw"
	"berth/libcontainer/logs"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it anew):\n%s", name, got)
	}
}

// runcState has the members of runc's state in their order.
type runcState struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      string            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

var states = []libcontainer.State{
	{OCIVersion: "1.0.2", ID: "a", Status: "stopped", Bundle: "/b", Rootfs: "/b/rootfs", Created: time.Unix(0, 0).UTC(), Owner: "root"},
	{
		OCIVersion: "1.3.0", ID: "a-rather-long-name", Pid: 4194304, Status: "running", Bundle: "/<b>&\"\\\u2028", Rootfs: "/\x00\x1f\x7fé\xff",
		Created: time.Unix(1700000000, 123456700).UTC(), Owner: "#1000", Annotations: map[string]string{"z": "1", "a.b/c": "", "\t": "\b\f\r\n"},
	},
}

func asRunc(s libcontainer.State) runcState {
	return runcState{s.OCIVersion, s.ID, s.Pid, s.Status, s.Bundle, s.Rootfs, s.Created, s.Annotations, s.Owner}
}

func TestStateJSON(t *testing.T) {
	for _, s := range states {
		want, err := json.MarshalIndent(asRunc(s), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.JSON("  "); !bytes.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestListJSON(t *testing.T) {
	for n := range len(states) + 1 {
		var want bytes.Buffer
		var all []runcState
		for _, s := range states[:n] {
			all = append(all, asRunc(s))
		}
		if err := json.NewEncoder(&want).Encode(all); err != nil {
			t.Fatal(err)
		}
		if got := listJSON(states[:n]); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("got\n%s\nwant\n%s", got, want.Bytes())
		}
	}
}

func TestListTable(t *testing.T) {
	for n := range len(states) + 1 {
		var want bytes.Buffer
		w := tabwriter.NewWriter(&want, 12, 1, 3, ' ', 0)
		fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
		for _, s := range states[:n] {
			// A terminal would suffer from the other one's bundle.
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
		}
		w.Flush()
		if got := listTable(states[:n]); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("got\n%q\nwant\n%q", got, want.Bytes())
		}
	}
}

// TestJSONString compares with encoding/json on random bytes.
func TestJSONString(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	pieces := []string{"\u2028", "\u2029", "é", "\U0001f600", "\xed\xa0\x80", "\xc0\xaf", "<", "&", "\\", "\"", "a", "/", "\x7f", "\u0085"}
	for range 20000 {
		var b []byte
		for range rnd.Intn(12) {
			if rnd.Intn(2) == 0 {
				b = append(b, byte(rnd.Intn(256)))
			} else {
				b = append(b, pieces[rnd.Intn(len(pieces))]...)
			}
		}
		want, _ := json.Marshal(string(b))
		j := jsonw.New("")
		j.Str(string(b))
		if !bytes.Equal(j.Buf, want) {
			t.Fatalf("%q: got %s, want %s", b, j.Buf, want)
		}
	}
}

// errorsToLog are the shapes that an error can have.
func errorsToLog() []error {
	step := &fault.Error{
		Msg: "cannot attach the mount to /data", Step: 50, JSONPath: "mounts[7]", Call: `move_mount(mount, "", target, "", 0)`,
		Errno: unix.EINVAL, Hint: "a hint",
	}
	return []error{
		fault.New("container does not exist"),
		prefix("create", step),
		fault.Wrap("cannot read it", &os.PathError{Op: "open", Path: "/x", Err: unix.EACCES}),
		fault.List{fault.At("process.cwd", "process.cwd must be absolute"), {Msg: "unknown", JSONPath: "linux.x", Pos: "3:4"}},
		prefix("run", fault.List{fault.At("process.cwd", "process.cwd must be absolute")}),
		errors.New("plain\t\"error\""),
	}
}

// logged is what a logger writes for all kinds of records.
func logged(t *testing.T, l logger) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l.fd = int(f.Fd())
	l.now = func() time.Time { return time.Unix(1700000000, 0).UTC() }
	rec := logs.Logger(l.record)
	rec(logs.Debug, "step 3 name the process", logs.Field{Name: "step", Value: 3}, logs.Field{Name: "call", Value: `prctl(15, "x")`},
		logs.Field{Name: "ns", Value: int64(1500)}, logs.Field{Name: "fixed", Value: true}, logs.Field{Name: "n", Value: uint64(7)})
	rec(logs.Debug, "step 12 open the mount point /proc", logs.Field{Name: "step", Value: 12}, logs.Field{Name: "phase", Value: "mounts"},
		logs.Field{Name: "call", Value: `target = openat2(root, "/proc")`}, logs.Field{Name: "result", Value: "7"}, logs.Field{Name: "ns", Value: int64(12499)})
	rec.Warn("memory.kernel is ignored")
	for _, err := range errorsToLog() {
		l.failed(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLogFormats(t *testing.T) {
	golden(t, "log.txt", logged(t, logger{debug: true}))
	golden(t, "log-terminal.txt", logged(t, logger{debug: true, terminal: true}))
	b := logged(t, logger{debug: true, json: true})
	golden(t, "log.json", b)
	for _, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		var rec struct {
			Level, Msg string
			Time       time.Time // must be RFC 3339, or containerd can't read it
		}
		if err := json.Unmarshal(line, &rec); err != nil || rec.Level == "" || rec.Msg == "" || rec.Time.IsZero() {
			t.Errorf("%s: %v %+v", line, err, rec)
		}
	}
}

// TestQuietLog: without --debug there is nothing below a warning.
func TestQuietLog(t *testing.T) {
	b := string(logged(t, logger{}))
	if strings.Contains(b, "level=debug") || !strings.Contains(b, "level=warning") {
		t.Errorf("%s", b)
	}
}

func TestFlatten(t *testing.T) {
	err := prefix("create", &fault.Error{Msg: "m", Step: 2, Err: fault.Wrap("inner", unix.EPERM)})
	if d := flatten(err); d.Step != 2 || d.Errno != unix.EPERM {
		t.Errorf("%+v", d)
	}
	if !strings.HasPrefix(err.Error(), "berth create failed: unable to start container process: m: ") {
		t.Error(err)
	}
	if got := prefix("create", fault.New("x")).Error(); got != "berth create failed: x" {
		t.Error(got)
	}
}

func TestParseSignal(t *testing.T) {
	for name, want := range map[string]int{
		"9": 9, "KILL": 9, "SIGKILL": 9, "sigkill": 9, "term": 15, "0": 0, "64": 64, "WINCH": 28,
		"RTMIN": 34, "SIGRTMIN+3": 37, "rtmax-1": 63, "RTMAX": 64, "RTMIN+30": 64,
		"": -1, "FOO": -1, "SIG": -1, "-9": -1, "65": -1, "9 ": -1, "SIGSIGKILL": -1, "RTMIN+31": -1, "RTMIN-1": -1, "RTMAX+1": -1, "RTMIN+": -1,
	} {
		got, err := parseSignal(name)
		if want < 0 {
			if err == nil || err.Error() != fmt.Sprintf("unknown signal %q", name) {
				t.Errorf("%q: %v, %v", name, got, err)
			}
			continue
		}
		if err != nil || int(got) != want {
			t.Errorf("%q: %v, %v, want %d", name, got, err, want)
		}
	}
}

func TestParseInjection(t *testing.T) {
	for what, want := range map[string]libcontainer.Injection{
		"step=3":                  {Step: 3, Errno: int(unix.EIO)},
		"action=12,errno=ENOSPC":  {Action: 12, Errno: int(unix.ENOSPC)},
		"step=1,kill":             {Step: 1, Kill: true},
		"step=1,errno=EPERM,kill": {Step: 1, Errno: int(unix.EPERM), Kill: true},
		"errno=EHWPOISON,step=9":  {Step: 9, Errno: int(unix.EHWPOISON)},
	} {
		got, err := parseInjection(what)
		if err != nil || *got != want {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	for _, what := range []string{"", "step", "step=0", "step=-1", "step=x", "kill", "step=1,action=2", "step=1,errno=EFOO", "step=1,errno=", "step=1,,kill", "step=1,kill=yes"} {
		if got, err := parseInjection(what); err == nil {
			t.Errorf("%q: %+v", what, got)
		}
	}
}

func TestDefaultRoot(t *testing.T) {
	if host.InUserNS() {
		t.Skip("in a user namespace")
	}
	for _, c := range []struct {
		euid int
		env  map[string]string
		want string
	}{
		{0, nil, "/run/berth"},
		{0, map[string]string{"XDG_RUNTIME_DIR": "/run/user/0"}, "/run/berth"},
		{0, map[string]string{"XDG_RUNTIME_DIR": "/run/user/0", "USER": "root"}, "/run/berth"},
		{1000, map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000", "USER": "root"}, "/run/user/1000/berth"},
		{1000, map[string]string{"XDG_RUNTIME_DIR": ""}, "/run/berth"},
		{1000, nil, "/run/berth"},
	} {
		got := defaultRoot(c.euid, func(name string) (string, bool) { v, ok := c.env[name]; return v, ok })
		if got != c.want {
			t.Errorf("%d %v: %s, want %s", c.euid, c.env, got, c.want)
		}
	}
}
