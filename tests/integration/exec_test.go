package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// running is a container whose process sleeps.
func running(t *testing.T, c ...change) *container {
	t.Helper()
	ct := newContainer(t, append([]change{harness.Args("/bin/sleep", "1000")}, c...)...)
	ct.detached()
	return ct
}

// exec runs a command in it, with flags before the id.
func (c *container) exec(flags []string, args ...string) harness.Result {
	c.t.Helper()
	return c.Do(append(append(append([]string{"exec"}, flags...), c.id), args...)...)
}

// says is what a shell script prints in it.
func (c *container) says(flags []string, script string) string {
	c.t.Helper()
	res := c.exec(flags, "/bin/sh", "-c", script)
	if res.Code != 0 {
		c.t.Fatalf("exec %v: %d %s", flags, res.Code, res.Stderr)
	}
	return res.Stdout
}

func TestExecStatus(t *testing.T) {
	c := running(t)
	for script, want := range map[string]int{"exit 0": 0, "exit 42": 42, "kill -TERM $$": 143, "kill -KILL $$": 137} {
		if res := c.exec(nil, "/bin/sh", "-c", script); res.Code != want {
			t.Errorf("%s: %d, want %d\n%s", script, res.Code, want, res.Stderr)
		}
	}
	for name, e := range map[string]struct {
		flags, args []string
		err         string
	}{
		"missing program": {nil, []string{"nosuch"}, `exec failed: unable to start container process:.*exec: "nosuch": executable file not found in \$PATH`},
		"missing path":    {nil, []string{"/nosuch"}, "no such file or directory"},
		"a directory":     {nil, []string{"/etc"}, "is a directory|permission denied"},
		"not executable":  {nil, []string{"/etc/passwd"}, "permission denied"},
		"bad cwd":         {[]string{"--cwd", "/nosuch"}, []string{"true"}, "chdir to cwd.*/nosuch"},
		"relative cwd":    {[]string{"--cwd", "x"}, []string{"true"}, "[Cc]wd"},
		"bad pid file":    {[]string{"--pid-file", "/nosuch/dir/pid"}, []string{"true"}, "no such file or directory"},
		"no command":      {nil, nil, "process args cannot be empty|minimum of 2"},
		"empty command":   {nil, []string{""}, "."},
		"bad user":        {[]string{"--user", "nobody-of-that-name"}, []string{"true"}, "nobody-of-that-name|parsing"},
		"bad group":       {[]string{"--user", "0:no-such-group"}, []string{"true"}, "no-such-group|parsing"},
		"bad process":     {[]string{"--process", "/dev/null"}, nil, "."},
		"tty, detached":   {[]string{"--tty", "--detach"}, []string{"true"}, "cannot allocate tty if [a-z]+ will detach without setting console socket"},
	} {
		res := c.exec(e.flags, e.args...)
		if res.Code != 255 || !fits(t, e.err, unquote(res.Stderr)) {
			t.Errorf("%s: %d, want 255 and %q\n%s", name, res.Code, e.err, res.Stderr)
		}
	}
	if res := c.Do("exec", c.id+"-other", "true"); res.Code != 255 || !strings.Contains(res.Stderr, "does not exist") {
		t.Errorf("unknown id: %d %s", res.Code, res.Stderr)
	}
	if left := strings.Fields(c.says(nil, "ps -o pid | tail -n +2")); len(left) > 4 {
		t.Errorf("processes are left: %v", left)
	}
}

// The process is the container's own, but for what the options change.
func TestExecProcess(t *testing.T) {
	mask, umask := ptr(uint32(0o27)), "0027"
	if !harness.Berth() {
		mask, umask = nil, "0022" // exec has it since 1.2
	}
	c := running(t, process(func(p *specs.Process) {
		p.Cwd, p.User = "/tmp", specs.User{UID: 1000, GID: 7, AdditionalGids: []uint32{5}, Umask: mask}
		p.Env = append(p.Env, "A=config")
		p.NoNewPrivileges = false
	}))
	show := "pwd; umask; id -u; id -g; id -G; echo $A $B $HOME"
	for name, e := range map[string]struct {
		flags []string
		want  string
		old   string
	}{
		"as it is":     {nil, "/tmp\n0027\n1000\n7\n7 5\nconfig /home/user\n", ""},
		"cwd":          {[]string{"--cwd", "/etc"}, "/etc\n0027\n1000\n7\n7 5\nconfig /home/user\n", ""},
		"env":          {[]string{"--env", "A=x,y", "--env=B=2"}, "/tmp\n0027\n1000\n7\n7 5\nx,y 2 /home/user\n", ""},
		"uid":          {[]string{"--user", "77"}, "/tmp\n0027\n77\n7\n7 5\nconfig /\n", ""},
		"uid and gid":  {[]string{"-u", "77:88"}, "/tmp\n0027\n77\n88\n88 5\nconfig /\n", ""},
		"root":         {[]string{"--user=0:0"}, "/tmp\n0027\n0\n0\n0 5\nconfig /root\n", ""},
		"name":         {[]string{"--user", "root"}, "/tmp\n0027\n0\n0\n0 5\nconfig /root\n", "numbers alone"},
		"group's name": {[]string{"--user", "user:staff"}, "/tmp\n0027\n1000\n50\n50 5\nconfig /home/user\n", "numbers alone"},
		"more groups":  {[]string{"--additional-gids", "100", "--additional-gids", "200"}, "/tmp\n0027\n1000\n7\n7 5 100 200\nconfig /home/user\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			skipOld(t, e.old)
			files("etc/group", "root:x:0:\nstaff:x:50:\n")(t, c.bundle)
			if got := strings.Replace(c.says(e.flags, show), umask, "0027", 1); got != e.want {
				t.Errorf("%q, want %q", got, e.want)
			}
		})
	}
	status := func(flags ...string) string {
		return c.says(flags, "grep -E '^(CapBnd|CapPrm|CapEff|CapAmb|CapInh|NoNewPrivs)' /proc/self/status")
	}
	for _, m := range []string{capLine("Bnd", 5, 10, 29), capLine("Prm"), `^NoNewPrivs:\s*0$`} {
		if out := status(); !fits(t, m, out) {
			t.Errorf("%q does not fit\n%s", m, out)
		}
	}
	out := status("--cap", "CAP_NET_RAW", "--cap", "CAP_SYS_ADMIN", "--no-new-privs", "--user", "0")
	for _, m := range []string{capLine("Bnd", 5, 10, 13, 21, 29), capLine("Prm", 5, 10, 13, 21, 29), capLine("Eff", 5, 10, 13, 21, 29), capLine("Amb"), capLine("Inh"), `^NoNewPrivs:\s*1$`} {
		if !fits(t, m, out) {
			t.Errorf("%q does not fit\n%s", m, out)
		}
	}
}

// A document of its own replaces the container's process altogether.
func TestExecProcessFile(t *testing.T) {
	c := running(t)
	p := &specs.Process{
		Args: []string{"/bin/sh", "-c", "pwd; id -u; id -G; env | grep -v SHLVL | sort; ulimit -n; cat /proc/self/oom_score_adj"}, Cwd: "/etc",
		Env: []string{"PATH=/bin", "X=1"}, User: specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7}},
		Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 99}}, OOMScoreAdj: ptr(50),
	}
	file := filepath.Join(t.TempDir(), "process.json")
	write := func() {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	res := c.exec([]string{"--process", file})
	want := "/etc\n5\n6 7\nHOME=/\nPATH=/bin\nPWD=/etc\nX=1\n77\n50\n"
	if !harness.Berth() {
		want = strings.Replace(want, "50\n", "0\n", 1) // exec has it since 1.2
	}
	if res.Stdout != want || res.Code != 0 {
		t.Errorf("%d %q, want %q\n%s", res.Code, res.Stdout, want, res.Stderr)
	}
	p.Args = []string{"nosuch"}
	write()
	if res = c.exec([]string{"--process", file}); res.Code != 255 || harness.Berth() && !strings.Contains(res.Stderr, ": args[0]: ") {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
	p.Args, p.Rlimits[0].Type = []string{"true"}, "RLIMIT_X"
	write()
	if res = c.exec([]string{"--process", file}); res.Code != 255 || harness.Berth() && !strings.Contains(res.Stderr, "rlimits[0].type") {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
}

// Whatever the container's namespaces, root and mounts are, the process is in them.
func TestExecPlaces(t *testing.T) {
	look := "for n in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup; stat -c '%d %i' /; hostname"
	none := func(s *specs.Spec) {
		s.Mounts, s.Linux.Namespaces, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths, s.Hostname = nil, nil, nil, nil, ""
	}
	for name, e := range map[string]struct {
		change []change
		old    string
	}{
		"default":             {on(), ""},
		"user namespace":      {on(harness.UserNamespace), ""},
		"cgroup namespace":    {on(harness.Namespace(specs.CgroupNamespace, "")), ""},
		"time namespace":      {on(harness.Namespace(specs.TimeNamespace, "")), "knows none"},
		"the host's network":  {on(harness.WithoutNamespace(specs.NetworkNamespace)), ""},
		"the host's pids":     {on(harness.WithoutNamespace(specs.PIDNamespace)), ""},
		"read-only root":      {on(func(s *specs.Spec) { s.Root.Readonly = true }), ""},
		"user and cgroup":     {on(harness.UserNamespace, harness.Namespace(specs.CgroupNamespace, "")), ""},
		"everything but user": {on(harness.Namespace(specs.CgroupNamespace, ""), harness.Namespace(specs.TimeNamespace, "")), "knows no time namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			skipOld(t, e.old)
			c := newContainer(t, append(e.change, harness.Shell("mkdir -p /tmp/out; { "+look+"; } >/tmp/new; sleep 1000"))...)
			if err := os.Chmod(c.bundle+"/rootfs/tmp", 0o777); err != nil {
				t.Fatal(err)
			}
			mountTmp := func(s *specs.Spec) { s.Mounts = append(s.Mounts, tmpfs("/tmp")) }
			s := harness.Default()
			for _, f := range append(e.change, harness.Shell("{ "+look+"; } >/tmp/new; mv /tmp/new /tmp/log; sleep 1000"), mountTmp) {
				f(s)
			}
			harness.WriteConfig(t, c.bundle, s)
			c.detached()
			var first string
			await(t, "the container's own look", func() bool {
				res := c.exec(nil, "/bin/cat", "/tmp/log")
				first = res.Stdout
				return res.Code == 0
			})
			if got := c.says(nil, look); got != first {
				t.Errorf("the process is in\n%sthe container's own in\n%s", got, first)
			}
		})
	}
	t.Run("no mount namespace", func(t *testing.T) {
		skipOld(t, "does not chroot it")
		c := running(t, none)
		if got := c.says(nil, "pwd; ls /bin/busybox; ls -d /root/../.."); got != "/\n/bin/busybox\n/root/../..\n" {
			t.Errorf("%q", got)
		}
		var host, root unix.Stat_t
		if unix.Stat("/", &host) != nil || unix.Stat(c.bundle+"/rootfs", &root) != nil {
			t.Fatal("stat")
		}
		if got, want := c.says(nil, "stat -c '%i' /"), strconv.FormatUint(root.Ino, 10)+"\n"; got != want {
			t.Errorf("the root is inode %s, want %s", got, want)
		}
	})
	t.Run("no /proc", func(t *testing.T) {
		skipOld(t, "needs one")
		c := running(t, func(s *specs.Spec) {
			s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = without(s.Mounts, "/proc"), nil, nil
		})
		if got := c.says(nil, "echo here"); got != "here\n" {
			t.Errorf("%q", got)
		}
	})
}

func TestExecStates(t *testing.T) {
	c := newContainer(t, harness.Args("/bin/sleep", "1000"))
	c.create()
	if got := c.says(nil, "echo created"); got != "created\n" {
		t.Errorf("in a created container: %q", got)
	}
	c.Must("start", c.id)
	c.Must("kill", c.id, "KILL")
	c.awaitStatus("stopped")
	res := c.exec(nil, "true")
	if res.Code != 255 || !strings.Contains(res.Stderr, "cannot exec in a stopped container") {
		t.Errorf("in a stopped container: %d %s", res.Code, res.Stderr)
	}
}

func TestExecPaused(t *testing.T) {
	c := running(t)
	c.Must("pause", c.id)
	res := c.exec(nil, "true")
	if res.Code != 255 || !strings.Contains(res.Stderr, "cannot exec in a paused container") {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
	skipOld(t, "came with 1.1.6")
	done := make(chan harness.Result, 1)
	go func() { done <- c.exec([]string{"--ignore-paused"}, "/bin/echo", "thawed") }()
	select {
	case res := <-done:
		t.Fatalf("did not wait: %d %s", res.Code, res.Stderr)
	case <-time.After(200 * time.Millisecond):
	}
	c.Must("resume", c.id)
	if res := <-done; res.Code != 0 || res.Stdout != "thawed\n" {
		t.Errorf("%d %q %s", res.Code, res.Stdout, res.Stderr)
	}
}

// A container that ends takes its processes along.
func TestExecOutlived(t *testing.T) {
	c := running(t)
	done := make(chan harness.Result, 1)
	go func() { done <- c.exec(nil, "/bin/sleep", "1000") }()
	await(t, "the process", func() bool {
		return strings.Contains(c.says(nil, "ps"), "sleep 1000\n") && strings.Count(c.says(nil, "ps"), "sleep 1000") == 2
	})
	c.Must("delete", "--force", c.id)
	if res := <-done; res.Code != 137 {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
}

func TestExecDetached(t *testing.T) {
	c := running(t)
	file := filepath.Join(t.TempDir(), "pid")
	res := c.exec([]string{"--detach", "--pid-file", file}, "/bin/sleep", "77")
	if res.Code != 0 || res.Stdout != "" {
		t.Fatalf("%d %s", res.Code, res.Stderr)
	}
	pid, err := strconv.Atoi(harness.ReadFile(t, file))
	if err != nil {
		t.Fatal(err)
	}
	if cmd := harness.ReadFile(t, "/proc/"+strconv.Itoa(pid)+"/cmdline"); cmd != "/bin/sleep\x0077\x00" {
		t.Errorf("the pid file has %d, which is %q", pid, cmd)
	}
	harness.Reap(pid)
	if res = c.exec([]string{"--detach"}, "nosuch"); res.Code != 255 {
		t.Errorf("a missing program: %d", res.Code)
	}
	skipOld(t, "came with 1.2")
	socket, fds := harness.Console(t)
	if res = c.exec([]string{"-d", "--pidfd-socket", socket}, "/bin/sleep", "78"); res.Code != 0 {
		t.Fatal(res.Stderr)
	}
	f := <-fds
	defer f.Close()
	for line := range strings.SplitSeq(harness.ReadFile(t, "/proc/self/fdinfo/"+strconv.Itoa(int(f.Fd()))), "\n") {
		if text, ok := strings.CutPrefix(line, "Pid:\t"); ok {
			pid, _ := strconv.Atoi(text)
			harness.Reap(pid)
		}
	}
	if err := unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0); err != nil {
		t.Error(err)
	}
}

func TestExecTerminal(t *testing.T) {
	c := running(t)
	s := newConsoleSocket(t)
	done := make(chan *os.File, 1)
	go func() { done <- s.master(t) }()
	file := filepath.Join(t.TempDir(), "pid")
	res := c.exec([]string{"--tty", "--detach", "--console-socket", s.path, "-u", "1000:1000", "--pid-file", file}, "/bin/sh", "-c", "tty; stat -c '%u' $(tty); echo x > /dev/tty; read l; echo got $l")
	if res.Code != 0 {
		t.Fatal(res.Stderr)
	}
	pid, _ := strconv.Atoi(harness.ReadFile(t, file))
	harness.Reap(pid)
	m := <-done
	if out := strings.ReplaceAll(readAll(t, m, "x\r\n"), "\r\n", "\n"); out != "/dev/pts/0\n1000\nx\n" {
		t.Errorf("%q", out)
	}
	if _, err := m.Write([]byte("words\n")); err != nil {
		t.Fatal(err)
	}
	readAll(t, m, "got words")
	skipOld(t, "wants a terminal outside")
	if res := c.exec([]string{"-t"}, "/bin/sh", "-c", "[ -t 0 ] && [ -t 1 ] && printf 'one\\ntwo\\n'"); res.Code != 0 || res.Stdout != "one\ntwo\n" {
		t.Errorf("%d %q %s", res.Code, res.Stdout, res.Stderr)
	}
}

func TestExecFiles(t *testing.T) {
	c := running(t)
	if res := c.DoIn("what is read\n", "exec", c.id, "/bin/cat"); res.Stdout != "what is read\n" {
		t.Errorf("%q", res.Stdout)
	}
	list := "ls /proc/self/fd | sort -n | tr '\\n' ' '"
	for n, want := range map[string]string{"0": "0 1 2 3 ", "2": "0 1 2 3 4 5 "} { // the last is ls's own
		res := c.Via(shell(`exec 3</dev/zero 4</dev/zero 5</dev/zero; exec "$@"`), "exec", "--preserve-fds", n, c.id, "/bin/sh", "-c", list)
		if res.Stdout != want {
			t.Errorf("--preserve-fds %s: %q, want %q\n%s", n, res.Stdout, want, res.Stderr)
		}
	}
	if res := c.exec([]string{"--preserve-fds=-1"}, "/bin/true"); res.Code != 255 || !strings.Contains(res.Stderr, "invalid value for --preserve-fds") {
		t.Errorf("%d %s", res.Code, res.Stderr)
	}
}

// exec --cgroup puts the process into cgroups below the container's.
func TestExecCgroup(t *testing.T) {
	harness.NeedCgroupfs(t)
	harness.NeedControllers(t, "pids", "memory")
	c := running(t)
	dirs := harness.CgroupsOf(t, c.State(c.id).Pid)
	made := map[string]bool{}
	for _, dir := range dirs {
		if made[dir] {
			continue
		}
		made[dir] = true
		if err := os.Mkdir(dir+"/sub", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if !harness.Unified() { // a new cpuset is empty
		for _, f := range []string{"/cpuset.cpus", "/cpuset.mems"} {
			if err := os.WriteFile(dirs["cpuset"]+"/sub"+f, []byte(harness.ReadFile(t, dirs["cpuset"]+f)), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	where := func(flags ...string) string {
		return c.says(flags, "grep -E '"+byVersion(":(pids|memory):", "^0::")+"' /proc/self/cgroup | sort -t: -k2 | sed 's/.*://; s,.*/,,' | tr '\\n' ' '")
	}
	// In v2 all controllers are in one place, and to name some is to name that.
	both := func(memory, pids string) string { return byVersion(memory+" "+pids+" ", pids+" ") }
	for name, e := range map[string]struct {
		flags []string
		want  string
	}{
		"none":   {nil, both(c.id, c.id)},
		"all":    {[]string{"--cgroup", "sub"}, both("sub", "sub")},
		"slash":  {[]string{"--cgroup", "/"}, both(c.id, c.id)},
		"one":    {[]string{"--cgroup", "pids:sub"}, both(c.id, "sub")},
		"two":    {[]string{"--cgroup", "pids:sub", "--cgroup", "memory:/sub"}, both("sub", "sub")},
		"a list": {[]string{"--cgroup", "pids,memory:sub"}, both("sub", "sub")},
		"twice":  {[]string{"--cgroup", "pids:sub", "--cgroup", "pids:sub"}, both(c.id, "sub")},
	} {
		if got := where(e.flags...); got != e.want {
			t.Errorf("%s: %q, want %q", name, got, e.want)
		}
	}
	for _, bad := range [][]string{{"nosuch"}, {"pids:nosuch"}, {"../x"}, {"nosuch:sub"}, {"sub", "sub"}, {"pids:sub", "pids:/"}} {
		var flags []string
		for _, b := range bad {
			flags = append(flags, "--cgroup", b)
		}
		if res := c.exec(flags, "true"); harness.Berth() && (res.Code != 255 || !strings.Contains(res.Stderr, "cgroup")) {
			t.Errorf("%v: %d %s", bad, res.Code, res.Stderr)
		}
	}
}
