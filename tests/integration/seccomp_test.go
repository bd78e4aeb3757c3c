package integration

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// refusing is a profile that lets everything through but these calls.
func refusing(action specs.LinuxSeccompAction, errno *uint, names ...string) change {
	return func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow,
			Syscalls:      []specs.LinuxSyscall{{Names: names, Action: action, ErrnoRet: errno}},
		}
	}
}

func newPrivileges(no bool) change {
	return func(s *specs.Spec) { s.Process.NoNewPrivileges = no }
}

func processUser(id uint32) change {
	return func(s *specs.Spec) { s.Process.User.UID, s.Process.User.GID = id, id }
}

// mkdirTmp tries to make a directory where everybody may.
const mkdirTmp = "mkdir /tmp/x 2>&1; grep -E '^(Seccomp|NoNewPrivs|CapEff)' /proc/self/status"

// TestSeccomp has a filter in force with and without noNewPrivileges, for root and for
// others, with and without a user namespace.
//
// rows: SCP-1 SCP-2 SCP-9
func TestSeccomp(t *testing.T) {
	tmp := func(s *specs.Spec) { s.Mounts = append(s.Mounts, tmpfs("/tmp", "mode=1777")) }
	var table []scenario
	for _, no := range []bool{true, false} {
		for _, id := range []uint32{0, 1000} {
			name := "user " + map[uint32]string{0: "0", 1000: "1000"}[id]
			if no {
				name += ", no new privileges"
			}
			table = append(table, scenario{
				name: name, rows: "SCP-1",
				change: on(tmp, refusing(specs.ActErrno, ptr(uint(unix.EDOM)), "mkdir", "mkdirat"), newPrivileges(no), processUser(id), harness.Shell(mkdirTmp)),
				match:  []string{"argument out of domain|out of range", "^Seccomp:\t2$"},
				// CAP_SYS_ADMIN, by which the filter is set, is not the process's.
				reject: []string{"^CapEff:.*[2367abef][0-9a-f]{5}$"},
			})
		}
	}
	table = append(table, []scenario{
		{
			name: "user namespace", rows: "SCP-1",
			change: on(harness.UserNamespace, tmp, refusing(specs.ActErrno, nil, "mkdir", "mkdirat"), newPrivileges(false), harness.Shell(mkdirTmp)),
			match:  []string{"Operation not permitted", "^Seccomp:\t2$"},
		},
		{
			name: "killed", rows: "SCP-2", code: 128 + 31,
			change: on(refusing(specs.ActKillProcess, nil, "mkdir", "mkdirat"), harness.Args("/bin/mkdir", "/x")),
		},
		{
			name: "a name that no kernel has", rows: "SCP-5",
			change: on(tmp, refusing(specs.ActErrno, nil, "mkdir", "mkdirat", "no_such_call"), harness.Shell(mkdirTmp)),
			match:  []string{"Operation not permitted"},
		},
		{
			name: "arguments", rows: "SCP-6",
			change: on(func(s *specs.Spec) {
				s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
					Names: []string{"kill"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.ENXIO)),
					Args: []specs.LinuxSeccompArg{{Index: 1, Value: 10, Op: specs.OpEqualTo}},
				}}}
			}, harness.Shell("kill -0 $$ && echo 0 is fine; kill -10 $$ 2>&1")),
			match: []string{"0 is fine", "No such device"},
			code:  1,
		},
		{
			name: "an action that takes no errno", rows: "SCP-3", code: 1, err: `linux\.seccomp\.syscalls\[0\]\.errnoRet`, old: "takes it",
			change: on(refusing(specs.ActAllow, ptr(uint(1)), "mkdir")),
		},
		{
			// What Berth itself needs to set the container up, the filter does not
			// touch: it comes last.
			name: "calls of the set-up are not there", rows: "SCP-1", old: "needs some of them itself",
			change: on(refusing(specs.ActErrno, ptr(uint(unix.ENOSYS)), "close_range", "openat2", "fsopen", "fsmount", "open_tree", "move_mount",
				"mount_setattr", "sendmsg", "recvmsg", "capset", "setresuid", "setgroups", "prctl", "faccessat2", "statx"),
				newPrivileges(false), processUser(1000), harness.Args("/bin/echo", "done")),
			out: "done",
		},
		{
			name: "and are killed for", rows: "SCP-1", old: "needs some of them itself",
			change: on(refusing(specs.ActKillProcess, nil, "close_range", "openat2", "move_mount", "sendmsg", "recvmsg", "capset", "setresuid", "setresgid"),
				newPrivileges(true), harness.Args("/bin/echo", "done")),
			out: "done",
		},
	}...)
	runAll(t, table)
}

func TestSeccompOfExec(t *testing.T) {
	c := newContainer(t, refusing(specs.ActErrno, nil, "mkdir", "mkdirat"), harness.Args("/bin/sleep", "1000"))
	c.detached()
	for _, flags := range [][]string{nil, {"--no-new-privs"}, {"--user", "1000"}} {
		if out := c.says(flags, mkdirTmp); !strings.Contains(out, "ermi") || !strings.Contains(out, "Seccomp:\t2") {
			t.Errorf("exec %q: %s", flags, out)
		}
	}
}

// agent is one that listens for filters' listeners, and answers.
type agent struct {
	path   string
	states chan specs.ContainerProcessState

	mu    sync.Mutex
	asked map[int32]int
}

// newAgent refuses what is in refused with an errno, and lets everything else go on.
func newAgent(t *testing.T, refused map[int32]unix.Errno) *agent {
	t.Helper()
	dir, err := os.MkdirTemp("", "bt-sec-")
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{path: filepath.Join(dir, "s"), states: make(chan specs.ContainerProcessState, 16), asked: map[int32]int{}}
	l, err := net.Listen("unix", a.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go a.serve(t, conn.(*net.UnixConn), refused)
		}
	}()
	return a
}

func (a *agent) serve(t *testing.T, conn *net.UnixConn, refused map[int32]unix.Errno) {
	defer conn.Close()
	buf, oob := make([]byte, 1<<16), make([]byte, 256)
	n, noob, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Error(err)
		return
	}
	messages, err := unix.ParseSocketControlMessage(oob[:noob])
	if err != nil || len(messages) != 1 {
		t.Errorf("no listener came: %v", err)
		return
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Errorf("%d listeners came: %v", len(fds), err)
		return
	}
	defer unix.Close(fds[0])
	var state specs.ContainerProcessState
	if err := json.Unmarshal(buf[:n], &state); err != nil {
		t.Error(err)
	}
	a.states <- state
	a.answer(fds[0], refused)
}

// notification is struct seccomp_notif, answer struct seccomp_notif_resp.
type (
	notification struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	answer struct {
		id    uint64
		val   int64
		err   int32
		flags uint32
	}
)

const (
	notifRecv = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifSend = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
)

func (a *agent) answer(fd int, refused map[int32]unix.Errno) {
	for {
		// The filter's last user may be gone: then recv would wait for ever on old kernels.
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifRecv, uintptr(unsafe.Pointer(&n)))
		switch errno {
		case 0:
		case unix.ENOENT, unix.EINTR:
			continue
		default:
			return
		}
		a.mu.Lock()
		a.asked[n.nr]++
		a.mu.Unlock()
		r := answer{id: n.id, flags: 1} // SECCOMP_USER_NOTIF_FLAG_CONTINUE
		if no, ok := refused[n.nr]; ok {
			r = answer{id: n.id, err: -int32(no)}
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifSend, uintptr(unsafe.Pointer(&r)))
	}
}

func (a *agent) times(nr int32) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[nr]
}

func notifying(path string, names ...string) change {
	return func(s *specs.Spec) {
		refusing(specs.ActNotify, nil, names...)(s)
		s.Linux.Seccomp.ListenerPath, s.Linux.Seccomp.ListenerMetadata = path, "what it is for"
	}
}

// TestSeccompNotify has an agent answer for mkdir, at create and at exec.
//
// rows: SCP-10 SCP-11 SCP-12
func TestSeccompNotify(t *testing.T) {
	for name, also := range map[string][]string{
		"mkdir alone": nil,
		// All that the rest of the set-up calls under the filter.
		"and what is called on the way": {"execve", "sendmsg", "recvmsg", "read", "close", "prctl", "dup3", "write"},
	} {
		t.Run(name, func(t *testing.T) {
			if also != nil {
				skipOld(t, "can not")
			}
			a := newAgent(t, map[int32]unix.Errno{unix.SYS_MKDIR: unix.EDOM, unix.SYS_MKDIRAT: unix.EDOM})
			c := newContainer(t, notifying(a.path, append([]string{"mkdir", "mkdirat"}, also...)...), newPrivileges(also == nil), harness.Shell("mkdir /x; sleep 1000"))
			c.create()
			state := <-a.states
			if want := c.State(c.id).Pid; state.Pid != want || state.State.Pid != want || state.State.ID != c.id || state.State.Status != "creating" ||
				state.Metadata != "what it is for" || len(state.Fds) != 1 || state.Fds[0] != specs.SeccompFdName || state.Version == "" || state.State.Bundle == "" {
				t.Errorf("%+v, want pid %d", state, want)
			}
			c.Must("start", c.id)
			await(t, "mkdir to be asked about", func() bool { return a.times(unix.SYS_MKDIR)+a.times(unix.SYS_MKDIRAT) > 0 })
			out := c.says(nil, "mkdir /y 2>&1; true")
			if !strings.Contains(out, "omain") && !strings.Contains(out, "ange") {
				t.Errorf("exec: %s", out)
			}
			state = <-a.states
			if init := c.State(c.id).Pid; state.Pid == init || state.State.Pid != init || state.State.Status != "running" {
				t.Errorf("exec: %+v", state)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		dir := t.TempDir()
		c := newContainer(t, notifying(dir+"/nobody", "mkdir"), harness.Args("/bin/true"))
		c.fails("failed to connect with seccomp agent.*nobody", "create", "--bundle", c.bundle, c.id)
		c.NothingLeft(c.id)
	})
	t.Run("no path", func(t *testing.T) {
		c := newContainer(t, notifying("", "mkdir"), harness.Args("/bin/true"))
		c.fails("listenerPath is not set", "create", "--bundle", c.bundle, c.id)
		c.NothingLeft(c.id)
	})
}
