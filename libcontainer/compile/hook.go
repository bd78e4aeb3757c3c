package compile

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/host"
	"berth/libcontainer/program"
)

// Hook compiles the program of a createContainer hook, which runs in the container's
// namespaces before the host's file systems are left: its path is one of the host's, in
// the container's mount namespace. Its working directory is the root file system.
//
// A startContainer hook is a process of the container under the rules of all others:
// Enter with a Hook in the request.
func Hook(f *host.Facts, r *EnterRequest) (*Result, error) {
	c := newCompiler(&specs.Spec{}, f, &Request{ID: r.ID, CgroupsLate: r.CgroupsLate, CgroupEntry: r.CgroupEntry})
	c.hook = r.Hook
	pidfd := c.planJoin(r.Namespaces)
	c.joinContainer(pidfd)
	c.Phase = program.PhaseRoot
	if c.ns.has(unix.CLONE_NEWNS) {
		c.enterRoot(nil)
		c.goTo(r.Rootfs)
	}
	c.Phase = program.PhaseProcess
	c.at("")
	c.Do(program.CallUmask, "set the umask", program.Int(0o022))
	c.settle()
	c.Phase = program.PhaseStart
	c.Barrier(program.BarrierReady, "tell the runtime the hook's pid")
	c.execHook()
	return c.result(program.KindHook)
}

// goTo makes a directory of the mount namespace the working directory, and sees that
// it is inside.
func (c *compiler) goTo(dir string) {
	fd := c.inRoot(dir, unix.O_PATH|unix.O_DIRECTORY, "open the root file system").FD("cwd")
	c.Do(program.CallFchdir, "go there", program.From(fd))
	c.seeInside()
}

// execHook executes the hook by its path as it is: no search, and the last link may be
// a magic one (/proc/self/exe).
func (c *compiler) execHook() {
	h := c.hook
	c.Do(program.CallExecve, "exec "+h.Path, program.Path(h.Path),
		program.Ptr(program.Strings(HookArgs(h), "argv")), program.Ptr(program.Strings(h.Env, "envp"))).
		Say(unix.ENOENT, "exec "+h.Path+": no such file or directory", "").
		Say(unix.EACCES, "exec "+h.Path+": permission denied", "").
		Say(unix.ENOEXEC, "exec "+h.Path+": exec format error", "a script needs a #! line")
}

// HookArgs is the argv of a hook.
func HookArgs(h *specs.Hook) []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}

// hookBarriers are the places where the runtime runs hooks: all is mounted, and still
// to be written to, as runc has it: hooks of GPU vendors mount more into the root file system.
func (c *compiler) hookBarriers() {
	h := c.spec.Hooks
	if h == nil {
		return
	}
	//lint:ignore SA1019 prestart is deprecated, and what Docker uses.
	prestart := len(h.Prestart)
	c.at("hooks")
	var before []string
	if prestart > 0 {
		before = append(before, "prestart")
	}
	if len(h.CreateRuntime) > 0 {
		before = append(before, "createRuntime")
	}
	if len(before) > 0 {
		c.Barrier(program.BarrierRuntimeHooks, "let the runtime run "+strings.Join(before, " and ")+" hooks")
	}
	if len(h.CreateContainer) > 0 {
		c.Barrier(program.BarrierContainerHooks, "let the runtime run createContainer hooks")
	}
}
