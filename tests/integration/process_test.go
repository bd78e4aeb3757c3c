package integration

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"golang.org/x/sys/unix"

	"berth/tests/harness"
)

func process(f func(*specs.Process)) change { return func(s *specs.Spec) { f(s.Process) } }

func ptr[T any](v T) *T { return &v }

func TestEnvironment(t *testing.T) {
	show := harness.Args("/bin/busybox", "cat", "/proc/self/environ")
	runAll(t, []scenario{
		{name: "order", rows: "PRO-7", change: on(show, env("Z=1", "A=2", "HOME=/h", "M=")), out: "Z=1\x00A=2\x00HOME=/h\x00M=\x00"},
		{name: "of duplicates the last", rows: "PRO-7", change: on(show, env("A=1", "HOME=/", "A=2")), match: []string{"A=2"}, reject: []string{"A=1"}},
		{name: "value with equals", rows: "PRO-7", change: on(show, env("A=b=c", "HOME=/")), out: "A=b=c\x00HOME=/\x00"},
		{name: "nothing but HOME", rows: "PRO-7 PRO-43", change: on(show, env()), out: "HOME=/root\x00"},
		{name: "no equals", rows: "PRO-7", change: on(show, env("A")), code: 1, err: "invalid environment variable: missing '='", old: "not checked"},
		{name: "empty name", rows: "PRO-7", change: on(show, env("=b")), code: 1, err: "invalid environment variable", old: "not checked"},
	})
}

func TestHome(t *testing.T) {
	show := harness.Shell("echo $HOME")
	runAll(t, []scenario{
		{name: "root", rows: "PRO-43", change: on(show), out: "/root"},
		{name: "user", rows: "PRO-43", change: on(show, uid(1000)), out: "/home/user"},
		{name: "unknown user", rows: "PRO-43", change: on(show, uid(4711)), out: "/"},
		{name: "set stays", rows: "PRO-43", change: on(show, env("HOME=/x")), out: "/x"},
		{name: "set empty", rows: "PRO-43", change: on(harness.Shell("echo [$HOME]"), env("HOME=")), match: []string{`^\[(/root)?\]$`}},
		{name: "no passwd", rows: "PRO-43", change: on(show), out: "/", prep: func(t *testing.T, b string) {
			if err := os.Remove(b + "/rootfs/etc/passwd"); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "bound passwd", rows: "PRO-43 MNT-4", out: "/bound", prep: func(t *testing.T, b string) {
			if err := os.WriteFile(b+"/passwd", []byte("u:x:1000:1000::/bound:/bin/sh\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, change: on(show, uid(1000), mounts(specs.Mount{Destination: "/etc/passwd", Source: "passwd", Options: []string{"bind"}}))},
		{name: "passwd is a symlink to the host's", rows: "PRO-43", change: on(show, uid(1)), out: "/", prep: symlink("/../../../../etc/passwd2", "etc/passwd")},
		{name: "passwd with odd lines", rows: "PRO-43", change: on(show, uid(5)), out: "/five", prep: files("etc/passwd", "\n#c\nx:y\n+\nfour:x:55:5::/four:\nfive:x:5:5::/five:\nagain:x:5:5::/again:\n")},
		{name: "passwd is a fifo", rows: "PRO-43", change: on(show), out: "/", old: "hangs", prep: func(t *testing.T, b string) {
			p := b + "/rootfs/etc/passwd"
			if err := os.Remove(p); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(p, 0o644); err != nil {
				t.Fatal(err)
			}
		}},
	})
}

func TestCwd(t *testing.T) {
	pwd := harness.Args("/bin/busybox", "pwd", "-P")
	runAll(t, []scenario{
		{name: "as given", rows: "PRO-5", change: on(pwd, cwd("/etc")), out: "/etc"},
		{name: "made when missing", rows: "PRO-5", change: on(pwd, cwd("/new/dir")), out: "/new/dir"},
		{name: "symlink", rows: "PRO-5", change: on(pwd, cwd("/link")), prep: symlink("/etc", "link"), out: "/etc"},
		{name: "symlink out stays inside", rows: "PRO-5", change: on(pwd, cwd("/link")), prep: symlink("../../../../etc", "link"), out: "/etc"},
		{name: "dots", rows: "PRO-5", change: on(pwd, cwd("/etc/../bin/.")), out: "/bin"},
		{name: "in a mount", rows: "PRO-5", change: on(pwd, cwd("/dev/shm")), out: "/dev/shm"},
		{name: "empty", rows: "PRO-5", change: on(pwd, cwd("")), code: 1, err: "Cwd property must not be empty"},
		{name: "relative", rows: "PRO-5", change: on(pwd, cwd("etc")), code: 1, err: "Cwd must be an absolute path"},
		{name: "a file", rows: "PRO-5", change: on(pwd, cwd("/etc/passwd")), code: 1, err: `(chdir to cwd \("/etc/passwd"\) set in config.json failed|mkdir .*/etc/passwd).*not a directory`},
		// Images have WORKDIR /root and are run as another user.
		{name: "root's, and the user is another", rows: "PRO-5", change: on(pwd, cwd("/secret"), uid(1000)), prep: secret(0), out: "/secret"},
		{name: "the user's alone, in a user namespace", rows: "PRO-5", change: on(pwd, cwd("/secret"), uid(1000), harness.UserNamespace), prep: secret(101000), out: "/secret"},
		{name: "nobody's here", rows: "PRO-5", change: on(pwd, cwd("/secret"), uid(1000), harness.UserNamespace), prep: secret(0), code: 1, err: `chdir to cwd \("/secret"\) set in config.json failed: .*permission denied`},
		// CVE-2024-21626: a descriptor of the host's as working directory.
		{name: "descriptor", rows: "PRO-6", change: on(pwd, cwd("/proc/self/fd/7")), code: 1, err: "."},
		{name: "descriptor's parent", rows: "PRO-6", change: on(pwd, cwd("/proc/self/fd/7/../..")), code: 1, err: "."},
		{name: "descriptor behind a symlink", rows: "PRO-6", change: on(pwd, cwd("/link")), prep: symlink("/proc/self/fd/7", "link"), code: 1, err: "."},
		{name: "root of another process", rows: "PRO-6", change: on(harness.Shell("ls /; pwd -P"), cwd("/proc/self/cwd")), code: 1, err: ".", old: "follows the link, to no harm"},
	})
}

// secret makes a directory that only its owner may enter.
func secret(owner int) func(*testing.T, string) {
	return func(t *testing.T, b string) {
		t.Helper()
		if err := os.Mkdir(b+"/rootfs/secret", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(b+"/rootfs/secret", owner, owner); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUser(t *testing.T) {
	ids := harness.Shell("id -u; id -g; id -G; grep -E '^(Uid|Gid|Groups)' /proc/self/status | tr '\\t' ' '")
	runAll(t, []scenario{
		{name: "root", rows: "PRO-37 PRO-38 PRO-41", change: on(ids), match: []string{`^Uid: 0 0 0 0$`, `^Gid: 0 0 0 0$`, `^Groups:\s*$`}},
		{
			name: "ids", rows: "PRO-37 PRO-38", change: on(ids, process(func(p *specs.Process) { p.User = specs.User{UID: 1000, GID: 7} })),
			match: []string{`^Uid: 1000 1000 1000 1000$`, `^Gid: 7 7 7 7$`, `^Groups:\s*$`},
		},
		{
			name: "groups", rows: "PRO-41", change: on(ids, process(func(p *specs.Process) {
				p.User = specs.User{UID: 1000, GID: 7, AdditionalGids: []uint32{5, 100, 2147483647}}
			})),
			match: []string{`^Groups: 5 100 2147483647 ?$`},
		},
		{
			name: "largest id", rows: "PRO-37", change: on(ids, process(func(p *specs.Process) { p.User = specs.User{UID: 4294967294, GID: 4294967294} })),
			match: []string{`^Uid: 4294967294`}, old: "int conversions",
		},
		{name: "username is ignored", rows: "PRO-42", change: on(ids, process(func(p *specs.Process) { p.User.Username = "user" })), match: []string{`^Uid: 0 `}},
		{name: "umask set", rows: "PRO-40", change: on(harness.Shell("umask"), process(func(p *specs.Process) { p.User.Umask = ptr(uint32(0o27)) })), out: "0027"},
		{name: "umask 0", rows: "PRO-40", change: on(harness.Shell("umask"), process(func(p *specs.Process) { p.User.Umask = ptr(uint32(0)) })), out: "0000"},
		{name: "umask too large", rows: "PRO-39", change: on(harness.Shell("umask"), process(func(p *specs.Process) { p.User.Umask = ptr(uint32(0o1000)) })), code: 1, err: "umask", old: "not checked"},
	})
}

// capLine is the bit mask of capabilities as /proc/PID/status shows it.
func capLine(name string, caps ...int) string {
	var mask uint64
	for _, c := range caps {
		mask |= 1 << c
	}
	return fmt.Sprintf("^Cap%s:\\s*%016x$", name, mask)
}

func TestCapabilities(t *testing.T) {
	show := harness.Shell("grep Cap /proc/self/status")
	caps := func(c specs.LinuxCapabilities) change {
		return process(func(p *specs.Process) { p.Capabilities = &c })
	}
	chown, kill, bind, raw := "CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW" // 0, 5, 10, 13
	l := func(s ...string) []string { return s }
	all := specs.LinuxCapabilities{
		Bounding: l(chown, kill, bind, raw), Effective: l(chown, kill), Permitted: l(chown, kill, bind),
		Inheritable: l(kill, bind), Ambient: l(bind),
	}
	// Without no_new_privs, execve would give root all of the bounding set again.
	runAll(t, []scenario{
		{name: "root", rows: "PRO-15 PRO-16 PRO-17 PRO-18", change: on(show, caps(all)), match: []string{
			capLine("Bnd", 0, 5, 10, 13), capLine("Inh", 5, 10), capLine("Prm", 0, 5, 10), capLine("Eff", 0, 5, 10), capLine("Amb", 10),
		}},
		// An ordinary user keeps over execve what is ambient alone.
		{name: "user", rows: "PRO-15 PRO-17 PRO-19", change: on(show, caps(all), uid(1000)), match: []string{
			capLine("Bnd", 0, 5, 10, 13), capLine("Inh", 5, 10), capLine("Prm", 10), capLine("Eff", 10), capLine("Amb", 10),
		}},
		{name: "user without ambient", rows: "PRO-18 PRO-19", change: on(show, uid(1000)), match: []string{
			capLine("Prm"), capLine("Eff"), capLine("Amb"), capLine("Bnd", 5, 10, 29), capLine("Inh"),
		}},
		{name: "none", rows: "PRO-15", change: on(show, caps(specs.LinuxCapabilities{})), match: []string{
			capLine("Bnd"), capLine("Inh"), capLine("Prm"), capLine("Eff"), capLine("Amb"),
		}},
		{name: "unknown is a warning", rows: "PRO-20", talks: true, change: on(show, caps(specs.LinuxCapabilities{
			Bounding: l(kill, "CAP_NOSUCH"), Effective: l(kill), Permitted: l(kill, "kill"),
		})), match: []string{capLine("Bnd", 5)}, err: "level=warning.*CAP_NOSUCH"},
		{name: "ambient but not inheritable", rows: "PRO-19", change: on(show, uid(1000), caps(specs.LinuxCapabilities{
			Bounding: l(kill, bind), Effective: l(kill), Permitted: l(kill, bind), Inheritable: l(bind), Ambient: l(kill, bind),
		})), match: []string{capLine("Amb", 10)}, talks: true, err: "level=warning.*can't raise ambient capability CAP_KILL: ", old: "says nothing of it"},
		{name: "absent in the config", rows: "PRO-15", change: on(show, process(func(p *specs.Process) { p.Capabilities = nil })), match: []string{
			capLine("Bnd"), capLine("Inh"), capLine("Prm"), capLine("Eff"), capLine("Amb"),
		}},
		{name: "absent for an ordinary user", rows: "PRO-15", change: on(show, uid(1000), process(func(p *specs.Process) { p.Capabilities = nil })), match: []string{
			capLine("Bnd"), capLine("Inh"), capLine("Prm"), capLine("Eff"), capLine("Amb"),
		}},
		{name: "absent in a user namespace", rows: "PRO-15", change: on(show, harness.UserNamespace, process(func(p *specs.Process) { p.Capabilities = nil })), match: []string{
			capLine("Bnd"), capLine("Inh"), capLine("Prm"), capLine("Eff"), capLine("Amb"),
		}},
	})
}

// rlimitNumbers are the limits that an ordinary root shell does not have unlimited.
var rlimitNumbers = map[string]int{
	"MEMLOCK": unix.RLIMIT_MEMLOCK, "MSGQUEUE": 12, "NICE": 13, "NOFILE": unix.RLIMIT_NOFILE,
	"NPROC": unix.RLIMIT_NPROC, "RTPRIO": 14, "SIGPENDING": 11,
}

// hasCap says whether the tests have that capability: root in a virtual machine
// or container may lack some.
func hasCap(n int) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&hdr, &data[0]) == nil && data[n/32].Effective&(1<<(n%32)) != 0
}

// rows: PRO-10 PRO-11 PRO-12 PRO-13
func TestRlimits(t *testing.T) {
	names := map[string]string{
		"AS": "Max address space", "CORE": "Max core file size", "CPU": "Max cpu time", "DATA": "Max data size",
		"FSIZE": "Max file size", "LOCKS": "Max file locks", "MEMLOCK": "Max locked memory", "MSGQUEUE": "Max msgqueue size",
		"NICE": "Max nice priority", "NOFILE": "Max open files", "NPROC": "Max processes", "RSS": "Max resident set",
		"RTPRIO": "Max realtime priority", "RTTIME": "Max realtime timeout", "SIGPENDING": "Max pending signals", "STACK": "Max stack size",
	}
	// What a shell can live with.
	values := map[string][2]uint64{
		"AS": {1 << 30, 1<<30 + 4096}, "STACK": {1 << 20, 1 << 21}, "NICE": {10, 20}, "RTPRIO": {10, 20}, "NOFILE": {100, 200},
		"FSIZE": {1 << 20, ^uint64(0)},
	}
	var limits []specs.POSIXRlimit
	var match []string
	for name, line := range names {
		v, ok := values[name]
		if !ok {
			v = [2]uint64{1 << 25, 1 << 26}
		}
		if n, ok := rlimitNumbers[name]; ok && !hasCap(unix.CAP_SYS_RESOURCE) {
			// Hard limits can only be lowered then.
			var own unix.Rlimit
			if err := unix.Getrlimit(n, &own); err != nil {
				t.Fatal(err)
			}
			v = [2]uint64{min(v[0], own.Max), min(v[1], own.Max)}
		}
		limits = append(limits, specs.POSIXRlimit{Type: "RLIMIT_" + name, Soft: v[0], Hard: v[1]})
		match = append(match, strings.ReplaceAll(fmt.Sprintf(`^%s +%d +%d`, line, v[0], v[1]), fmt.Sprint(^uint64(0)), "unlimited"))
	}
	set := func(l ...specs.POSIXRlimit) change { return process(func(p *specs.Process) { p.Rlimits = l }) }
	show := harness.Args("/bin/cat", "/proc/self/limits")
	runAll(t, []scenario{
		{name: "every one", rows: "PRO-10 PRO-11 PRO-12", change: on(show, set(limits...)), match: match},
		{name: "as an ordinary user", rows: "PRO-11", change: on(show, uid(1000), set(limits...)), match: match},
		{name: "unknown", rows: "PRO-10", change: on(show, set(specs.POSIXRlimit{Type: "RLIMIT_X"})), code: 1, err: "wrong rlimit value: RLIMIT_X"},
		{name: "soft above hard", rows: "PRO-11", change: on(show, set(specs.POSIXRlimit{Type: "RLIMIT_CORE", Soft: 2, Hard: 1})), code: 1, err: "."},
		{name: "twice", rows: "PRO-13", change: on(show, set(specs.POSIXRlimit{Type: "RLIMIT_CORE"}, specs.POSIXRlimit{Type: "RLIMIT_CORE"})), code: 1, err: "RLIMIT_CORE", old: "not checked"},
		{name: "above what the kernel can", rows: "PRO-12", change: on(show, set(specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 1 << 40, Hard: 1 << 40})), code: 1, err: "operation not permitted"},
	})
}

// A limit that would leave the set-up without descriptors is set behind the wait
// for start: not even a debug run, which reports each step, may take that report
// for the word to start.
//
// rows: PRO-10
func TestFewFilesWaitForStart(t *testing.T) {
	few := process(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 5}} })
	for _, flags := range [][]string{nil, {"--debug"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			c := newContainer(t, harness.Args("/bin/sleep", "1000"), few)
			c.Must(append(flags, "create", "--bundle", c.bundle, c.id)...)
			time.Sleep(50 * time.Millisecond)
			if st := c.State(c.id); st.Status != "created" {
				t.Fatalf("%s before start", st.Status)
			}
			c.Must(append(flags, "start", c.id)...)
			st := c.State(c.id)
			limits := harness.ReadFile(t, "/proc/"+strconv.Itoa(st.Pid)+"/limits")
			if ok, _ := regexp.MatchString(`Max open files +5 +5 `, limits); st.Status != "running" || !ok {
				t.Errorf("%s\n%s", st.Status, limits)
			}
		})
	}
}

func TestProcessAttributes(t *testing.T) {
	status := harness.Shell("grep -E '^(NoNewPrivs|Seccomp|SigIgn|SigBlk)' /proc/self/status; cat /proc/self/oom_score_adj")
	oom, _ := os.ReadFile("/proc/self/oom_score_adj")
	lower, lowerNS := []string{`^-500$`}, []string{`^-7$`}
	code, err := 0, ""
	if !hasCap(unix.CAP_SYS_RESOURCE) {
		lower, lowerNS, code, err = nil, nil, 1, "oom_score_adj.*[Pp]ermission denied|OOM score.*permission denied"
	}
	runAll(t, []scenario{
		{name: "no new privileges", rows: "PRO-21", change: on(status), match: []string{`^NoNewPrivs:\s*1$`}},
		{name: "new privileges", rows: "PRO-21", change: on(status, process(func(p *specs.Process) { p.NoNewPrivileges = false })), match: []string{`^NoNewPrivs:\s*0$`}},
		{name: "no signal is ignored or blocked", change: on(status), match: []string{`^SigBlk:\s*0+$`, `^SigIgn:\s*0+$`}, old: "leaves what make ignores"},
		{name: "oom score", rows: "PRO-22", change: on(status, process(func(p *specs.Process) { p.OOMScoreAdj = ptr(123) })), match: []string{`^123$`}},
		{name: "oom score below 0", rows: "PRO-22", change: on(status, process(func(p *specs.Process) { p.OOMScoreAdj = ptr(-500) })), match: lower, code: code, err: err},
		{name: "oom score in a user namespace", rows: "PRO-22", change: on(status, harness.UserNamespace, process(func(p *specs.Process) { p.OOMScoreAdj = ptr(-7) })), match: lowerNS, code: code, err: err},
		{name: "oom score absent", rows: "PRO-23", change: on(status), match: []string{"^" + strings.TrimSpace(string(oom)) + "$"}},
		{name: "oom score too high", rows: "PRO-22", change: on(status, process(func(p *specs.Process) { p.OOMScoreAdj = ptr(1001) })), code: 1, err: "."},
		{name: "console size without a terminal", rows: "PRO-3", change: on(process(func(p *specs.Process) { p.ConsoleSize = &specs.Box{Height: 99999} })), out: ""},
		{name: "AppArmor absent", rows: "PRO-14", change: on(process(func(p *specs.Process) { p.ApparmorProfile = "x" })), code: 1, err: "(?i)apparmor"},
		{name: "SELinux absent", rows: "PRO-31", change: on(process(func(p *specs.Process) { p.SelinuxLabel = "x" })), code: 1, err: "selinux label is specified in config, but selinux is disabled or not supported"},
		{name: "its own session", change: on(harness.Shell("cut -d' ' -f1,5,6 /proc/1/stat")), out: "1 1 1"},
		{name: "comm is the program's", change: on(harness.Args("/bin/cat", "/proc/1/comm")), out: "cat"},
	})
}

func TestNames(t *testing.T) {
	show := harness.Shell("hostname; cat /proc/sys/kernel/domainname")
	runAll(t, []scenario{
		{name: "host name", rows: "UTS-1", change: on(show, func(s *specs.Spec) { s.Hostname = "moored" }), match: []string{"^moored$"}},
		{name: "domain name", rows: "UTS-2", change: on(show, func(s *specs.Spec) { s.Domainname = "example.org" }), out: "test\nexample.org", old: "came with 1.2"},
		{name: "64 bytes", rows: "UTS-1", change: on(show, func(s *specs.Spec) { s.Hostname = strings.Repeat("h", 64) }), match: []string{"^h{64}$"}},
		{name: "65 bytes", rows: "UTS-1", change: on(show, func(s *specs.Spec) { s.Hostname = strings.Repeat("h", 65) }), code: 1, err: "."},
		{name: "no namespace", rows: "UTS-1", change: on(show, harness.WithoutNamespace(specs.UTSNamespace)), code: 1, err: "unable to set hostname without a private UTS namespace"},
		{name: "no namespace for the domain", rows: "UTS-2", change: on(show, harness.WithoutNamespace(specs.UTSNamespace), func(s *specs.Spec) { s.Hostname, s.Domainname = "", "x" }), code: 1, err: "unable to set domainname without a private UTS namespace", old: "came with 1.2"},
	})
}

func TestSysctl(t *testing.T) {
	set := func(list ...string) change {
		return func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{}
			for i := 0; i < len(list); i += 2 {
				s.Linux.Sysctl[list[i]] = list[i+1]
			}
		}
	}
	show := func(files ...string) change {
		return harness.Args(append([]string{"/bin/cat"}, files...)...)
	}
	const sys = "/proc/sys/"
	runAll(t, []scenario{
		{name: "net", rows: "SEC-1", change: on(set("net.ipv4.ip_forward", "1", "net.core.somaxconn", "77"), show(sys+"net/ipv4/ip_forward", sys+"net/core/somaxconn")), out: "1\n77"},
		{name: "ipc", rows: "SEC-1", change: on(set("kernel.shmmax", "12345678", "kernel.shm_rmid_forced", "1", "kernel.msgmax", "4000", "kernel.sem", "1 2 3 4", "fs.mqueue.msg_max", "33"),
			show(sys+"kernel/shmmax", sys+"kernel/shm_rmid_forced", sys+"kernel/msgmax", sys+"kernel/sem", sys+"fs/mqueue/msg_max")), out: "12345678\n1\n4000\n1\t2\t3\t4\n33"},
		{name: "slashes", rows: "SEC-2", change: on(set("net/ipv4/conf/lo/rp_filter", "2"), show(sys+"net/ipv4/conf/lo/rp_filter")), out: "2"},
		{name: "slash as a dot of a name", rows: "SEC-2", change: on(set("net.ipv4.conf.lo.rp_filter", "1"), show(sys+"net/ipv4/conf/lo/rp_filter")), out: "1"},
		{name: "domain name", rows: "SEC-1 UTS-2", change: on(set("kernel.domainname", "d"), show(sys+"kernel/domainname")), out: "d"},
		{name: "host name conflicts", rows: "SEC-1", change: on(set("kernel.hostname", "d")), code: 1, err: "kernel.hostname|hostname"},
		{name: "not of a namespace", rows: "SEC-1", change: on(set("vm.swappiness", "1")), code: 1, err: `sysctl "vm.swappiness" is not in a separate kernel namespace`},
		{name: "network is the host's", rows: "SEC-1", change: on(harness.WithoutNamespace(specs.NetworkNamespace), set("net.ipv4.ip_forward", "1")), code: 1, err: `sysctl "net.ipv4.ip_forward"`},
		{name: "ipc is the host's", rows: "SEC-1", change: on(harness.WithoutNamespace(specs.IPCNamespace), set("kernel.shmmax", "1")), code: 1, err: `sysctl "kernel.shmmax" is not`},
		{name: "not there", rows: "SEC-1", change: on(set("net.nosuch", "1")), code: 1, err: "net.nosuch.*no such file|no such file.*net/nosuch"},
		{name: "bad value", rows: "SEC-1", change: on(set("net.ipv4.ip_forward", "x")), code: 1, err: "invalid argument"},
		{name: "climbs", rows: "SEC-1", change: on(set("net/../vm/swappiness", "1")), code: 1, err: ".", old: "not checked"},
		{name: "in a user namespace", rows: "SEC-1", change: on(harness.UserNamespace, set("net.ipv4.ip_forward", "1"), show(sys+"net/ipv4/ip_forward")), out: "1"},
	})
}
