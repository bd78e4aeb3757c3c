// Package engines drives the real engines (Podman with conmon, containerd with its
// shim, Docker) with Berth as their runtime, each with directories, configuration and
// sockets of its own, without a network, and stopped by pid. What a scenario leaves
// (state, cgroups, processes, mounts) fails it.
//
// `make test-engines` gets the engines and runs all scenarios, beside runc, for a table;
// the core of them alone:
//
//	sh tests/engines/unpack.sh && go test ./tests/engines -args -core
package engines

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

var (
	core   = flag.Bool("core", false, "the scenarios of the core, with Podman and containerd")
	full   = flag.Bool("full", false, "all scenarios and all engines")
	beside = flag.String("beside", "", "other runtimes to run the same with, by commas: runc,crun")
)

func TestMain(m *testing.M) { flag.Parse(); harness.Main(m) }

// scenario is what is done with an engine. Podman and Docker have one command line,
// so that most is written once for both; ctr has its own. An engine without a function
// does not have the thing.
type scenario struct {
	name                string
	core                bool
	podman, docker, ctr func(*session)
}

// both is a scenario of Podman and Docker.
func both(name string, core bool, f, ctr func(*session)) scenario {
	return scenario{name: name, core: core, podman: f, docker: f, ctr: ctr}
}

func (s *scenario) of(e *engine) func(*session) {
	return map[string]func(*session){"podman": s.podman, "docker": s.docker, "containerd": s.ctr}[e.name]
}

// session is a scenario that runs with an engine.
type session struct {
	*testing.T
	*engine
}

// engine is one that runs with a runtime.
type engine struct {
	t *testing.T
	// name is the engine's, runtime that of the file that it calls, binary the file.
	name, runtime, binary string
	// dir is on a disk (images), run is below /run (sockets, state).
	dir, run string
	// client is the command line's beginning, env what it is run with.
	client, env []string
	// create are options of every container.
	create []string
	// parent is the cgroup that all containers are in.
	parent string
	// states are where the runtime keeps its state for this engine.
	states []string
	// daemonPath comes first in the daemon's PATH.
	daemonPath string
	// daemon is what is running, if anything is, and start starts it.
	daemon *exec.Cmd
	start  func()
	// clear removes all containers.
	clear func(*session)
	// layer is the image as a tar.
	layer []byte
}

var engines = []struct {
	name  string
	core  bool
	needs []string
	setUp func(*engine)
}{
	{"podman", true, []string{"podman", "conmon"}, setUpPodman},
	{"containerd", true, []string{"containerd", "ctr", "containerd-shim-runc-v2"}, setUpContainerd},
	{"docker", false, []string{"dockerd", "docker", "containerd", "docker-init"}, setUpDocker},
}

// TestEngines runs the scenarios; -run 'Engines/podman/berth/exec' picks.
func TestEngines(t *testing.T) {
	harness.NeedRoot(t)
	if !*core && !*full {
		t.Skip("make test-engines runs them")
	}
	h := harness.New(t)
	busybox := harness.Need(t, "busybox", "busybox-static")
	runtimes := []string{h.Binary}
	for name := range strings.FieldsFuncSeq(*beside, func(r rune) bool { return r == ',' }) {
		runtimes = append(runtimes, harness.Need(t, name, name))
	}
	ownPlaces(t)
	children.reap(t)
	tree := t.TempDir()
	imageTree(t, tree, busybox)
	layer := tarOf(t, tree)
	results := &table{}
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			if !e.core && !*full {
				t.Skip("only with -full")
			}
			for _, program := range e.needs {
				if lookPath(program) == "" {
					t.Skip("needs " + program + " (tests/engines/unpack.sh gets it)")
				}
			}
			for _, binary := range runtimes {
				t.Run(filepath.Base(binary), func(t *testing.T) {
					runAll(t, &engine{name: e.name, binary: binary, layer: layer}, e.setUp, results)
				})
			}
		})
	}
	if *full {
		t.Log(results)
	}
}

// runAll runs all scenarios with one engine and one runtime.
func runAll(t *testing.T, e *engine, setUp func(*engine), results *table) {
	before := mountinfo()
	e.t, e.runtime = t, filepath.Base(e.binary)
	// As the tests of several runtimes, and several tests, may run at once.
	e.parent = fmt.Sprintf("/be-%d-%s", os.Getpid(), e.runtime)
	var err error
	e.dir, err = os.MkdirTemp("", "be-")
	must(t, err)
	e.run, err = os.MkdirTemp("/run", "e")
	must(t, err)
	t.Cleanup(func() { e.nothingLeft(before) })
	setUp(e)
	t.Cleanup(e.stop)
	for _, s := range scenarios {
		f := s.of(e)
		if f == nil || !s.core && !*full {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			defer results.note(t, e, s.name)
			ses := &session{t, e}
			defer ses.cleanUp()
			f(ses)
		})
	}
}

// ownPlaces lays file systems over some of the machine's in this process's mount
// namespace: a /run and a /dev/shm, where sockets, locks and state are, of which some can
// not be told to be anywhere else; and over /usr the engines, as if they were installed:
// Podman calls itself without the environment that would tell it of other libraries.
func ownPlaces(t *testing.T) {
	t.Helper()
	over := func(dir, fstype, options string) {
		must(t, unix.Mount("engines", dir, fstype, unix.MS_NOSUID|unix.MS_NODEV, options))
		t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	}
	over("/run", "tmpfs", "mode=755")
	over("/dev/shm", "tmpfs", "mode=1777")
	for _, dir := range unmounted() {
		over(dir, "tmpfs", "mode=755")
	}
	if _, err := os.Stat(unpacked() + "/usr"); err == nil {
		over("/usr", "overlay", "lowerdir="+unpacked()+"/usr:/usr")
	}
}

// unmounted lists the directories of v1 controllers whose hierarchies are not mounted.
// Podman takes them for cgroups.
func unmounted() []string {
	var top unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &top) != nil || top.Type != unix.TMPFS_MAGIC {
		return nil
	}
	var dirs []string
	entries, _ := os.ReadDir("/sys/fs/cgroup")
	for _, e := range entries {
		var fs unix.Statfs_t
		dir := "/sys/fs/cgroup/" + e.Name()
		if e.IsDir() && unix.Statfs(dir, &fs) == nil && fs.Type == unix.TMPFS_MAGIC {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// emptyUnmounted removes what Podman has made there: it is no cgroup, which rmdir(2)
// would remove with its files.
func emptyUnmounted(t *testing.T) {
	t.Helper()
	for _, dir := range unmounted() {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			must(t, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
}

// unpacked is where unpack.sh has put the engines.
func unpacked() string {
	if dir := os.Getenv("BERTH_ENGINES"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root"
	}
	return filepath.Join(home, ".cache/berth-engines")
}

func lookPath(program string) string {
	for _, dir := range []string{"/usr/bin", "/usr/sbin"} {
		if p := filepath.Join(dir, program); unix.Access(p, unix.X_OK) == nil {
			return p
		}
	}
	return ""
}

// environment is what an engine's programs are run with, and nothing of the caller's.
func (e *engine) environment(more ...string) []string {
	return append([]string{"PATH=/usr/bin:/usr/sbin:/bin:/sbin", "HOME=" + e.dir, "TMPDIR=" + e.dir, "TERM=xterm"}, more...)
}

func (e *engine) write(path, text string) string {
	e.t.Helper()
	must(e.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(e.t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// launch starts a daemon, which logs to a file, and waits until the probe succeeds.
func (e *engine) launch(probe []string, args ...string) {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(e.t, err)
	defer log.Close()
	env := e.environment()
	env[0] = strings.Replace(env[0], "PATH=", "PATH="+e.daemonPath, 1)
	cmd := command{args: args, env: env}.cmd()
	cmd.Stdout, cmd.Stderr = log, log
	must(e.t, children.start(cmd))
	e.daemon = cmd
	eventually(e.t, func() string {
		if res := (command{args: probe, env: e.env}).run(e.t); res.code != 0 {
			return args[0] + " does not answer: " + res.String() + "\n" + e.log()
		}
		return ""
	})
}

func (e *engine) log() string {
	lines := harness.Lines(harness.ReadFile(e.t, filepath.Join(e.dir, "log")))
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// end ends the daemon by a signal.
func (e *engine) end(sig unix.Signal) {
	if e.daemon == nil {
		return
	}
	_ = e.daemon.Process.Signal(sig)
	if code := e.waitDaemon(); code != 0 && sig == unix.SIGTERM {
		e.t.Errorf("%s ended with exit code %d\n%s", e.name, code, e.log())
	}
	e.daemon = nil
}

func (e *engine) waitDaemon() int {
	return exitCode(e.daemon, children.wait(e.daemon))
}

func (e *engine) stop() { e.end(unix.SIGTERM) }

// nothingLeft looks for what an engine with all its containers has left, and clears up.
func (e *engine) nothingLeft(mounts []string) {
	eventually(e.t, func() string {
		if left := newMounts(mounts); len(left) > 0 {
			return "left mounted:\n" + strings.Join(left, "\n")
		}
		return ""
	})
	for _, pid := range children.living() {
		e.t.Errorf("left: process %d: %s", pid, cmdline(pid))
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	// The engine's own parent of all.
	for _, dir := range harness.CgroupMounts() {
		for _, d := range []string{"/conmon", ""} {
			if err := unix.Rmdir(dir + e.parent + d); err != nil && err != unix.ENOENT {
				e.t.Errorf("rmdir %s%s%s: %v", dir, e.parent, d, err)
			}
		}
	}
	for _, d := range []string{e.dir, e.run} {
		must(e.t, os.RemoveAll(d))
	}
}

// cleanUp removes the containers of a scenario and looks for what is left of them.
func (s *session) cleanUp() {
	s.clear(s)
	keep := []int{}
	if s.daemon != nil {
		keep = append(keep, s.daemon.Process.Pid)
	}
	eventually(s.T, func() string {
		var left []string
		for _, dir := range s.states {
			left = append(left, leftFiles(dir)...)
		}
		left = append(left, leftCgroups(s.parent)...)
		for _, pid := range children.living() {
			if !slices.Contains(keep, pid) {
				left = append(left, fmt.Sprintf("process %d: %s", pid, cmdline(pid)))
			}
		}
		if len(left) > 0 {
			return "left:\n" + strings.Join(left, "\n")
		}
		return ""
	})
}

// table has the results by scenario, engine and runtime.
type table struct {
	rows, columns []string
	cells         map[string]string
}

func (r *table) note(t *testing.T, e *engine, row string) {
	column, word := e.name+"/"+e.runtime, "ok"
	switch {
	case t.Failed():
		word = "FAIL"
	case t.Skipped():
		word = "skip"
	}
	if r.cells == nil {
		r.cells = map[string]string{}
	}
	if !slices.Contains(r.rows, row) {
		r.rows = append(r.rows, row)
	}
	if !slices.Contains(r.columns, column) {
		r.columns = append(r.columns, column)
	}
	r.cells[row+" "+column] = word
}

func (r *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-24s", "")
	for _, c := range r.columns {
		fmt.Fprintf(&b, "  %s", c)
	}
	for _, s := range scenarios {
		if !slices.Contains(r.rows, s.name) {
			continue
		}
		fmt.Fprintf(&b, "\n%-24s", s.name)
		for _, c := range r.columns {
			word := r.cells[s.name+" "+c]
			if word == "" {
				word = "-"
			}
			fmt.Fprintf(&b, "  %-*s", len(c), word)
		}
	}
	return b.String()
}
