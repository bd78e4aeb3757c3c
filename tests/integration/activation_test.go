package integration

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

// Sockets that a service manager has opened go to the process, before those that
// are to be preserved, and only if it meant this call of the runtime.
func TestSocketActivation(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "A\n", "b": "Bb\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	show := harness.Shell("echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4; ls /proc/self/fd | sort -n | tr '\\n' ' '")
	open := "exec 3<" + dir + "/a 4<" + dir + "/b; "
	for name, c := range map[string]struct {
		set, flag, want string
		old             string
	}{
		"one and one preserved": {"LISTEN_FDS=1 LISTEN_PID=$$", "1", "1 1\nA\nBb\n0 1 2 3 4 ", ""},
		"two":                   {"LISTEN_FDS=2 LISTEN_PID=$$", "0", "2 1\nA\nBb\n0 1 2 3 4 ", ""},
		"another's":             {"LISTEN_FDS=2 LISTEN_PID=1", "0", "\n0 1 2 3 ", ""},
		"none":                  {"LISTEN_FDS=0 LISTEN_PID=$$", "2", "\nA\nBb\n0 1 2 3 4 ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			skipOld(t, c.old)
			ct := newContainer(t, show)
			res := ct.Via(shell(open+c.set+` exec "$@"`), "run", "--preserve-fds", c.flag, "--bundle", ct.bundle, ct.id)
			// What ls has open to list them is the last one.
			if got := strings.TrimSuffix(res.Stdout, c.want); !strings.HasPrefix(res.Stdout, c.want[:len(c.want)-1]) {
				t.Errorf("%q, want %q (%q)\n%s", res.Stdout, c.want, got, res.Stderr)
			}
		})
	}
	ct := newContainer(t, show)
	res := ct.Via(shell(`LISTEN_FDS=3 LISTEN_PID=$$ exec "$@" 3<&- 4<&- 5<&-`), "run", "--bundle", ct.bundle, ct.id)
	if harness.Berth() && (res.Code != 1 || !strings.Contains(res.Stderr, "is not open")) {
		t.Errorf("sockets that are not open: %d %s", res.Code, res.Stderr)
	}
}

// manager is a service manager's notify socket.
func manager(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manager")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, path
}

// hear returns the next message to the manager, and answers a barrier.
func hear(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	buf, oob := make([]byte, 4096), make([]byte, 64)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for i := range msgs {
			if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil {
				for _, fd := range fds {
					unix.Close(fd)
				}
			}
		}
	}
	return string(buf[:n])
}

// A container that says that it is ready has systemd hear it, with the pid that is
// to be watched from then on; until then whoever starts it waits.
func TestNotifySocket(t *testing.T) {
	skipOld(t, "sends other words around READY=1")
	script := `[ -S "$NOTIFY_SOCKET" ] && [ -w "$NOTIFY_SOCKET" ] && echo $NOTIFY_SOCKET; sleep 1000`
	for _, user := range []change{nil, harness.UserNamespace} {
		for _, way := range []string{"run", "run --detach", "start"} {
			t.Run(way, func(t *testing.T) {
				conn, path := manager(t)
				changes := []change{harness.Shell("{ " + script + "; } >/out/log")}
				if user != nil {
					changes = append(changes, user)
				}
				c := newContainer(t, changes...)
				mkdirs("run/notify")(t, c.bundle) // root of the user namespace may not make it
				out := filepath.Join(c.bundle, "rootfs/out")
				if err := os.Mkdir(out, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(out, 0o777); err != nil {
					t.Fatal(err)
				}
				c.Env = append(c.Env, "NOTIFY_SOCKET="+path)
				args := append(strings.Fields(way), "--bundle", c.bundle, c.id)
				if way == "start" {
					c.create()
					args = []string{"start", c.id}
				}
				done := make(chan harness.Result, 1)
				go func() { done <- c.Do(args...) }()
				if got := awaitFile(t, c.bundle, "out/log"); got != "/run/notify/notify.sock" {
					t.Errorf("NOTIFY_SOCKET=%q", got)
				}
				c.awaitStatus("running")
				select {
				case res := <-done:
					t.Fatalf("did not wait: %d %s", res.Code, res.Stderr)
				case <-time.After(50 * time.Millisecond):
				}
				inside, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: filepath.Join(c.Root, c.id, "notify/notify.sock"), Net: "unixgram"})
				if err != nil {
					t.Fatal(err)
				}
				defer inside.Close()
				for _, words := range []string{"STATUS=soon", "READY=1\nMAINPID=1\n"} {
					if _, err := inside.Write([]byte(words)); err != nil {
						t.Fatal(err)
					}
				}
				pid := strconv.Itoa(c.State(c.id).Pid)
				for _, want := range []string{"STATUS=soon\n", "READY=1\n", "MAINPID=" + pid + "\n", "BARRIER=1"} {
					got := hear(t, conn)
					if way == "run" && strings.HasPrefix(got, "MAINPID=") && got != want {
						continue // the runtime, which stays
					}
					if got != want {
						t.Errorf("%q, want %q", got, want)
					}
				}
				if way == "run" {
					// The words that follow are passed on too.
					if _, err := inside.Write([]byte("STOPPING=1")); err != nil {
						t.Fatal(err)
					}
					if got := hear(t, conn); got != "STOPPING=1\n" {
						t.Errorf("%q", got)
					}
					c.Must("kill", c.id, "KILL")
				}
				if res := <-done; way != "run" && res.Code != 0 || res.Stderr != "" {
					t.Errorf("%d %s", res.Code, res.Stderr)
				}
			})
		}
	}
}

// A process that ends without a word leaves nobody waiting.
func TestNotifySocketAndNoWord(t *testing.T) {
	skipOld(t, "looks ten times a second")
	_, path := manager(t)
	c := newContainer(t, harness.Shell("exit 0"))
	c.Env = append(c.Env, "NOTIFY_SOCKET="+path)
	c.detached()
	c.awaitStatus("stopped")
}
