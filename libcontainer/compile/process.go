package compile

import (
	"encoding/binary"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
	"berth/libcontainer/sys"
)

// oomScore is written by the host's /proc, before the child is anywhere else: to
// lower it takes CAP_SYS_RESOURCE in the first user namespace.
func (c *compiler) oomScore() {
	p := c.process
	if p == nil || p.OOMScoreAdj == nil {
		return
	}
	c.atProcess("oomScoreAdj")
	value := strconv.Itoa(*p.OOMScoreAdj)
	fd := c.Do(program.CallOpenat, "open oom_score_adj", program.AtCwd, program.Path("/proc/self/oom_score_adj"),
		program.Int(unix.O_WRONLY|unix.O_CLOEXEC), program.Int(0)).FD("file")
	step := c.writeFD(fd, value, "set the OOM score adjustment to "+value).
		Say(unix.EACCES, "", "lowering it needs CAP_SYS_RESOURCE")
	if c.host.EUID != 0 || c.host.UserNS {
		// Engines ask for what the caller has; an ordinary user may not even
		// write that again once it was raised and lowered. runc ignores it too.
		step.Ignore(unix.EACCES, unix.EPERM)
	}
	c.Do(program.CallClose, "close it", program.From(fd))
}

// becomeProcess gives the child all that is the user process's own, up to execve.
func (c *compiler) becomeProcess() {
	p := c.process
	if p == nil {
		c.at("")
		c.settle()
		return
	}
	if !c.req.NoNewKeyring {
		c.keyring()
	}
	c.fromCaller()
	c.scheduling()
	c.rlimits(false)
	c.stdio()
	c.labels()
	if p.NoNewPrivileges {
		c.atProcess("noNewPrivileges")
		c.Do(program.CallPrctl, "let no execve give new privileges", program.Int(unix.PR_SET_NO_NEW_PRIVS), program.Int(1), program.Int(0), program.Int(0), program.Int(0))
	}
	entered := c.enterAsRoot()
	if c.seesAll() {
		c.hide()
	}
	c.caps = c.capabilities()
	c.keepForFilter()
	c.credentials(c.caps)
	c.workingDirectory(entered)
	if c.hook == nil {
		c.executable()
	}
	c.setUmask()
	c.settle()
}

// seesAll says whether the runtime may look into the child whatever it is.
func (c *compiler) seesAll() bool {
	return c.host.Privileged() && c.host.Permitted&(1<<unix.CAP_SYS_PTRACE) != 0
}

// hide keeps others from looking into the child once its rights are no more than
// those of its own user: a container in the same pid namespace, as the members of
// a pod are, could take the start FIFO through /proc/PID/fd, keep start waiting
// for ever, and rewrite what is about to be executed. execve takes it back.
func (c *compiler) hide() {
	c.at("")
	c.Do(program.CallPrctl, "let no other process look in", program.Int(unix.PR_SET_DUMPABLE), program.Int(0))
}

// settle is the last before the container is ready: no descriptor of the host
// stays open, and the runtime may leave.
func (c *compiler) settle() {
	c.at("")
	c.Do(program.CallCloseRange, "close every descriptor but the process's own", program.Int(c.lastOwn()+1), program.Uint(maxUint32), program.Int(0))
	c.Do(program.CallPrctl, "die with the runtime no longer", program.Int(unix.PR_SET_PDEATHSIG), program.Int(0))
}

// keyring gives the container a session keyring of its own, with the search
// permission that processes of another uid need (keyrings(7)).
func (c *compiler) keyring() {
	const (
		join, setperm = 1, 5       // KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SETPERM
		permissions   = 0x3f1b0000 // possessor all; user view, read, search, link
	)
	c.at("")
	end := c.Label()
	ring := c.Do(program.CallKeyctl, "make a session keyring", program.Int(join), program.Path("_ses."+c.req.ID)).
		On(unix.ENOSYS, end).FD("keyring")
	c.Do(program.CallKeyctl, "let the container's users search it", program.Int(setperm), program.From(ring), program.Uint(permissions)).
		Ignore(unix.ENOSYS)
	c.Here(end)
}

// fewFiles is how many descriptors the rest of the set-up may need.
const fewFiles = 64

// rlimits sets the limits while the rights are there to raise them; late, those
// of them that would leave the set-up itself without descriptors. To lower a limit
// takes no right.
func (c *compiler) rlimits(late bool) {
	for i, r := range c.process.Rlimits {
		c.atProcess(item("rlimits", i))
		n, ok := sys.Rlimit(r.Type)
		if !ok {
			c.fail(c.JSONPath, "wrong rlimit value: "+r.Type, "")
			continue
		}
		if late != (n == unix.RLIMIT_NOFILE && r.Soft < fewFiles+uint64(c.req.PreserveFDs)) {
			continue
		}
		b := make([]byte, 16)
		binary.LittleEndian.PutUint64(b, r.Soft)
		binary.LittleEndian.PutUint64(b[8:], r.Hard)
		text := "{" + strconv.FormatUint(r.Soft, 10) + ", " + strconv.FormatUint(r.Hard, 10) + "}"
		c.Do(program.CallPrlimit64, "set "+r.Type, program.Int(0), program.Int(n), program.Ptr(program.Struct(b, text)), program.Int(0)).
			Say(unix.EPERM, "", "raising a hard limit needs CAP_SYS_RESOURCE")
	}
}

// fromCaller takes back what a process inherits of its caller by fork and execve
// and what is no part of the config: signals that are ignored (as under nohup or
// in the background of a shell without job control) or blocked, and the CPUs that
// the caller is bound to. The cpuset of the cgroup still bounds the new ones.
func (c *compiler) fromCaller() {
	c.at("")
	for n := 1; n <= 64; n++ {
		if c.host.IgnoredSignals&(1<<(n-1)) != 0 {
			c.Do(program.CallRtSigaction, "let "+signalName(n)+" have its default action again", program.Int(n),
				program.Ptr(program.Struct(make([]byte, 32), "{SIG_DFL}")), program.Int(0), program.Int(8))
		}
	}
	if c.host.BlockedSignals != 0 {
		c.Do(program.CallRtSigprocmask, "block no signal", program.Int(unix.SIG_SETMASK),
			program.Ptr(program.Struct(make([]byte, 8), "{}")), program.Int(0), program.Int(8))
	}
	if a := c.execAffinity(); a != nil {
		if bitmap(a.Final) != nil {
			c.atProcess("execCPUAffinity.final")
			c.affinity(a.Final, "run on CPUs "+a.Final+" from here on").
				Say(unix.EINVAL, "", "none of these is one of the container's cpuset")
		}
		return
	}
	// The kernel leaves out those that are not there.
	all := make([]byte, (mostCPUs+1)/8)
	for i := range all {
		all[i] = 0xff
	}
	c.Do(program.CallSchedSetaffinity, "let the process run on each CPU that its cpuset has", program.Int(0),
		program.Int(len(all)), program.Ptr(program.Struct(all, "{every CPU}")))
}

func signalName(n int) string {
	if s := unix.SignalName(unix.Signal(n)); s != "" {
		return s
	}
	return "signal " + strconv.Itoa(n)
}

// stdio makes the standard files the container's. Where one is /dev/null it is
// the caller's: through it a container with a user namespace that maps its owner
// could change the node on the host, so the container's own takes its place. All
// others are given to the process's user, so that it can open /dev/stdout again.
func (c *compiler) stdio() {
	u := &c.process.User
	give := u.UID != 0 || c.ns.has(unix.CLONE_NEWUSER)
	if c.process.Terminal {
		if give {
			c.atProcess("user.uid")
			for fd := range 3 {
				c.giveFD(fd)
			}
		}
		return
	}
	for fd := range 3 {
		c.at("")
		own, end := c.Label(), c.Label()
		c.Do(program.CallStatx, "look at descriptor "+strconv.Itoa(fd), program.Int(fd), program.Path(""),
			program.Int(unix.AT_EMPTY_PATH), program.Uint(unix.STATX_TYPE), program.Ptr(c.stat)).On(unix.EBADF, end)
		c.Expect(program.From(c.statRdev()), ^uint64(0), 1|3<<32, unix.ENODEV, "ask whether it is /dev/null").On(unix.ENODEV, own)
		c.Expect(program.From(c.statMode()), unix.S_IFMT<<modeShift, unix.S_IFCHR<<modeShift, unix.ENODEV, "and a character device").On(unix.ENODEV, own)
		c.reopenNull(fd)
		if give {
			c.Jump(end, "go on")
		}
		c.Here(own)
		if give {
			c.atProcess("user.uid")
			c.giveFD(fd)
		}
		c.Here(end)
	}
}

// reopenNull puts the container's /dev/null in place of a standard file. It is
// looked at before it is opened: to open another device may do things.
func (c *compiler) reopenNull(fd int) {
	const null = "the container's /dev/null"
	look := c.inRoot("/dev/null", unix.O_PATH|unix.O_NOFOLLOW, "look for "+null).FD("file")
	c.isDevice(look, 1, 3, null)
	c.Do(program.CallClose, "close it", program.From(look))
	own := c.inRoot("/dev/null", unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NOCTTY, "open "+null).FD("null")
	c.isDevice(own, 1, 3, null)
	c.Do(program.CallDup3, "make it descriptor "+strconv.Itoa(fd), program.From(own), program.Int(fd), program.Int(0))
	c.Do(program.CallClose, "close it", program.From(own))
}

// giveFD gives a standard file to the process's user, where that is possible.
func (c *compiler) giveFD(fd int) {
	c.Do(program.CallFchown, "give descriptor "+strconv.Itoa(fd)+" to the user", program.Int(fd),
		program.Uint(uint64(c.process.User.UID)), program.Uint(maxUint32)).
		Ignore(unix.EINVAL, unix.EPERM, unix.EROFS, unix.EBADF)
}

// enterAsRoot goes to the working directory with the rights of root, as runc does:
// images have WORKDIR /root and are run as another user. The slot says whether
// that was possible; what only the user may enter is entered as the user.
func (c *compiler) enterAsRoot() *program.Slot {
	c.atProcess("cwd")
	entered, late := c.Slot("entered"), c.Label()
	c.Set(entered, program.Int(0), "note that the working directory is not entered yet")
	c.enterDirectory(late)
	c.Set(entered, program.Int(1), "note that the working directory is entered")
	c.Here(late)
	return entered
}

// enterDirectory goes to the working directory. With a label a refusal is no
// error, but means to go on there.
func (c *compiler) enterDirectory(refused program.Label) {
	cwd := c.process.Cwd
	open := c.inRoot(cwd, unix.O_PATH|unix.O_DIRECTORY, `chdir to cwd ("`+cwd+`") set in config.json`).
		Say(0, `chdir to cwd ("`+cwd+`") set in config.json failed`, "")
	fd := open.FD("cwd")
	enter := c.Do(program.CallFchdir, "go to the working directory", program.From(fd)).
		Say(0, `chdir to cwd ("`+cwd+`") set in config.json failed`, "")
	if refused >= 0 {
		open.On(unix.EACCES, refused)
		enter.On(unix.EACCES, refused)
	}
}

// workingDirectory sees to it that the working directory is entered, and that it
// is inside: a path through a descriptor or a mount namespace of the host would
// be shown as unreachable by getcwd(2) (CVE-2024-21626).
func (c *compiler) workingDirectory(entered *program.Slot) {
	c.atProcess("cwd")
	inside := c.Label()
	c.ExpectNot(program.From(entered), ^uint64(0), 1, unix.EEXIST, "ask whether the working directory is entered").On(unix.EEXIST, inside)
	c.enterDirectory(-1)
	c.Here(inside)
	c.seeInside()
}

// seeInside sees that the working directory is inside.
func (c *compiler) seeInside() {
	buf := program.Buffer(unix.PathMax, "buffer")
	c.Do(program.CallGetcwd, "ask where that is", program.Ptr(buf), program.Int(unix.PathMax))
	first := &program.Slot{Name: "buffer[0]", Home: buf, Inherited: -1}
	c.Expect(program.From(first), 0xff, '/', unix.ENOENT, "see that it is inside the container").
		Say(0, "current working directory is outside of container mount namespace root", "possible container breakout")
}

// setUmask sets the configured umask, else 022, as runc and crun do and engines
// count on. (The spec would leave the caller's: conmon's is 0 and a shell's may be 077.)
func (c *compiler) setUmask() {
	c.atProcess("user.umask")
	mask := uint64(0o022)
	if u := c.process.User.Umask; u != nil {
		mask = uint64(*u)
	}
	c.Do(program.CallUmask, "set the umask", program.Uint(mask))
}

// executable finds the program: args[0] with a slash as it is, else in each
// directory of the container's PATH, as execvp would, with the process's own
// rights. That it is missing is known at create.
func (c *compiler) executable() {
	c.atProcess("args[0]")
	p := c.process
	name := p.Args[0]
	c.exe = c.Slot("executable")
	found := c.Label()
	if strings.Contains(name, "/") {
		abs := name
		if !path.IsAbs(name) {
			abs = path.Join(p.Cwd, name)
		}
		c.tryExecutable(abs, name, found, -1)
		c.Here(found)
		return
	}
	before := c.Len()
	tried := make(map[string]bool)
	for _, dir := range strings.Split(pathVariable(p.Env), ":") {
		if tried[dir] {
			continue
		}
		tried[dir] = true
		if len(tried) > maxItems {
			c.fail(c.ofProcess("env"), "PATH has more than "+strconv.Itoa(maxItems)+" directories", "")
			return
		}
		if !path.IsAbs(dir) {
			// A relative element would be the working directory's: exec of what
			// happens to lie there is refused, as Go's exec.LookPath does.
			continue
		}
		next := c.Label()
		file := strings.TrimRight(dir, "/") + "/" + name
		c.tryExecutable(file, file, found, next)
		c.Here(next)
	}
	notFound := "exec: " + strconv.Quote(name) + ": executable file not found in $PATH"
	if before == c.Len() {
		c.fail(c.JSONPath, notFound, "PATH has no absolute directory")
		return
	}
	c.Expect(program.Int(0), 0, 1, unix.ENOENT, "find the executable in the container's PATH").Say(0, notFound, "")
	c.Here(found)
}

// tryExecutable adds the steps for one candidate. Where there is another one
// (next), what is wrong with this one does not matter.
func (c *compiler) tryExecutable(file, name string, found, next program.Label) {
	quoted := "exec: " + strconv.Quote(name) + ": "
	step := func(r program.StepRef, no unix.Errno, say string) program.StepRef {
		if next >= 0 {
			return r.On(no, next)
		}
		return r.Say(no, quoted+say, "")
	}
	open := c.inRoot(file, unix.O_PATH, "look for "+file)
	open = step(open, unix.ENOENT, "no such file or directory")
	open = step(open, unix.ENOTDIR, "not a directory")
	open = step(open, unix.EACCES, "permission denied")
	open = step(open, unix.ELOOP, "too many levels of symbolic links")
	fd := open.FD("file")
	c.statFD(fd, "look at what it is")
	step(c.ExpectNot(program.From(c.statMode()), unix.S_IFMT<<modeShift, unix.S_IFDIR<<modeShift, unix.EISDIR, "see that it is not a directory"),
		unix.EISDIR, "is a directory")
	step(c.Do(program.CallFaccessat2, "see that the user may execute it", program.From(fd), program.Path(""),
		program.Int(unix.X_OK), program.Int(unix.AT_EMPTY_PATH|unix.AT_EACCESS)), unix.EACCES, "permission denied")
	c.Do(program.CallClose, "close it", program.From(fd))
	c.Set(c.exe, program.Path(name), "take "+file)
	if next >= 0 {
		c.Jump(found, "search no further")
	}
}

// pathVariable is the last PATH of an environment: later entries win.
func pathVariable(env []string) string {
	value := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			value = v
		}
	}
	return value
}

// environment is the process's environment: of duplicates the last wins, at the
// first one's place. HOME is added when absent or empty, as every runtime does; its value
// comes from the container's /etc/passwd, which can be read only later.
func (c *compiler) environment() *program.Data {
	p := c.process
	at := make(map[string]int, len(p.Env))
	list := make([]string, 0, len(p.Env)+1)
	for _, e := range slices.Concat(p.Env, c.req.Env) {
		key, _, _ := strings.Cut(e, "=")
		if i, ok := at[key]; ok {
			list[i] = e
			continue
		}
		at[key] = len(list)
		list = append(list, e)
	}
	home, has := at["HOME"]
	if !has {
		home = len(list)
		list = append(list, "HOME=")
	}
	absent := list[home] == "HOME="
	if absent {
		list[home] = "HOME=/"
	}
	d := program.Strings(list, "envp["+strconv.Itoa(len(list))+"]")
	if absent {
		c.home = d.Refs[home].To
		c.home.Size = homeSize
	}
	return d
}

// homeSize bounds HOME=value and its NUL.
const homeSize = 1024

// start ends the program: it waits where it has to, and executes.
func (c *compiler) start() {
	p := c.process
	c.atProcess("args")
	var argv, envp *program.Data
	if p != nil && c.hook == nil {
		argv = program.Strings(p.Args, "argv["+strconv.Itoa(len(p.Args))+"]")
		envp = c.environment()
	}
	if c.filter != nil && c.filter.Notify {
		c.askListener()
	}
	c.at("")
	c.Barrier(program.BarrierReady, "tell the runtime that the container is created")
	if !c.seesAll() || p == nil {
		c.hide()
	}
	if c.startFIFO >= 0 {
		// From here on there is no runtime to ask: the FIFO takes the socket's
		// place, and a report there is final. `start` reads it.
		c.Do(program.CallDup3, "let the start FIFO take the socket's place", program.Int(c.startFIFO), program.Int(c.socket), program.Int(unix.O_CLOEXEC)).Quiet()
	}
	if c.startFIFO >= 0 {
		// At once: what a debug run reports of a step between would be in the FIFO,
		// and be read as the word to start.
		c.Do(program.CallRead, "wait for start", program.Int(c.socket), program.Ptr(c.text), program.Int(1))
	}
	if p == nil {
		c.Do(program.CallExitGroup, "end: the config has no process", program.Int(0))
		return
	}
	c.rlimits(true)
	if c.filter != nil && !c.filter.Notify {
		c.setFilter().Quiet()
	}
	if c.hook != nil {
		c.at("")
		c.execHook()
		return
	}
	c.atProcess("args[0]")
	c.Do(program.CallExecve, "exec "+p.Args[0], program.From(c.exe), program.Ptr(argv), program.Ptr(envp)).
		Say(unix.ENOENT, "exec "+p.Args[0]+": no such file or directory", "does its interpreter exist in the container?").
		Say(unix.ENOEXEC, "exec "+p.Args[0]+": exec format error", "a script needs a #! line; a program must be built for this machine")
}
