package compile

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
)

// nsKind is one type of namespace.
type nsKind struct {
	typ  specs.LinuxNamespaceType
	flag uintptr
	word string
}

// nsKinds are all of them, in the order in which they are joined: the mount
// namespace last, because paths of the others are the runtime's.
var nsKinds = [...]nsKind{
	{specs.IPCNamespace, unix.CLONE_NEWIPC, "ipc"},
	{specs.UTSNamespace, unix.CLONE_NEWUTS, "uts"},
	{specs.NetworkNamespace, unix.CLONE_NEWNET, "network"},
	{specs.PIDNamespace, unix.CLONE_NEWPID, "pid"},
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP, "cgroup"},
	{specs.TimeNamespace, unix.CLONE_NEWTIME, "time"},
	{specs.UserNamespace, unix.CLONE_NEWUSER, "user"},
	{specs.MountNamespace, unix.CLONE_NEWNS, "mount"},
}

// Namespaces are the types of namespace, each with its CLONE_NEW* flag and its file in
// /proc/PID/ns.
func Namespaces() []NamespaceType {
	files := map[string]string{"network": "net", "mount": "mnt"}
	list := make([]NamespaceType, len(nsKinds))
	for i, k := range nsKinds {
		list[i] = NamespaceType{k.flag, k.word, k.word}
		if f, ok := files[k.word]; ok {
			list[i].File = f
		}
	}
	return list
}

// NamespaceType is a type of namespace. Name is the runtime-spec's.
type NamespaceType struct {
	Type       uintptr
	Name, File string
}

// Join is a namespace that the config names by a path. The runtime opens it once,
// looks at what it is, and hands it over by descriptor.
type Join struct {
	// Type is the CLONE_NEW* flag that the namespace must have; Word names it.
	Type uintptr
	Word string
	// File is the path on the host; JSONPath is where the config has it.
	File, JSONPath string
}

// join is a namespace to be joined.
type join struct {
	Join
	fd *program.Slot
}

// namespaces says how the child comes by each of its namespaces.
//
// Without a user namespace it is born into the new ones, which costs no call.
// With one, the others must belong to it, so the child is born outside, opens
// what needs the host's rights, makes or joins the user namespace, and unshares
// the rest. A pid or a time namespace holds for children only: then the first
// process, the intermediate, clones the one that stays and ends.
type namespaces struct {
	fresh        uintptr // CLONE_NEW* flags of the new ones
	joined       uintptr
	joins        []join
	born         uintptr
	intermediate bool
	newUser      bool
}

// has says whether the container has a namespace of its own or another's there,
// not the runtime's.
func (n *namespaces) has(flag uintptr) bool { return (n.fresh|n.joined)&flag != 0 }

func (c *compiler) planNamespaces() {
	n := &c.ns
	list := c.linux().Namespaces
	for _, k := range nsKinds {
		for i := range list {
			if list[i].Type != k.typ {
				continue
			}
			if list[i].Path == "" {
				n.fresh |= k.flag
				continue
			}
			n.joined |= k.flag
			j := Join{k.flag, k.word, list[i].Path, item("linux.namespaces", i) + ".path"}
			n.joins = append(n.joins, join{j, c.hand(k.word+"ns", program.FDNamespace)})
		}
	}
	n.newUser = n.fresh&unix.CLONE_NEWUSER != 0
	if n.fresh&unix.CLONE_NEWTIME != 0 && !c.host.TimeNS {
		c.fail("linux.namespaces", "time namespaces aren't enabled in the kernel", "")
	}
	if n.fresh&unix.CLONE_NEWCGROUP != 0 && !c.host.CgroupNS {
		c.fail("linux.namespaces", "cgroup namespaces aren't enabled in the kernel", "")
	}
	// A time namespace can not be had at birth, and holds for children only.
	n.intermediate = n.has(unix.CLONE_NEWTIME) || n.joined&unix.CLONE_NEWPID != 0
	if !n.has(unix.CLONE_NEWUSER) {
		// The cgroup namespace's root is the cgroup that its maker is in, so it
		// is made after the cgroups are entered.
		n.born = n.fresh &^ (unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME)
		if n.intermediate {
			n.born &^= unix.CLONE_NEWPID
		}
		return
	}
	n.intermediate = n.intermediate || n.fresh&unix.CLONE_NEWPID != 0
	if n.newUser && c.host.EUID != 0 && len(c.linux().UIDMappings) == 0 {
		c.fail("linux.uidMappings", "user namespaces enabled, but no namespace path to join nor mappings", "")
	}
}

// openHost opens what the child can reach only as long as it has the runtime's
// rights and sees the runtime's files: bind sources, /dev/null.
func (c *compiler) openHost() {
	if !c.clonesInside() {
		if c.ns.has(unix.CLONE_NEWUSER) {
			c.openSources()
		}
		c.openNull()
	}
	if c.ns.joined&unix.CLONE_NEWNS == 0 {
		c.goToRootfs()
	}
}

// goToRootfs walks the path of the root file system, the one time; from here on
// it is ".". To join a mount namespace moves a process to the root there, so in
// that case the path is one of that namespace, and walked after.
func (c *compiler) goToRootfs() {
	c.at("root.path")
	c.Do(program.CallChdir, "go to the root file system", program.Path(c.req.Rootfs))
}

// clonesInside says whether mounts can be cloned only inside the user namespace:
// an ordinary user may not before, and needs no more than his own rights there.
func (c *compiler) clonesInside() bool {
	return c.ns.has(unix.CLONE_NEWUSER) && !c.host.Privileged()
}

// openNull opens /dev/null and checks that it is what its name says: it covers
// masked paths later, and who could swap it could unmask them (CVE-2025-31133).
func (c *compiler) openNull() {
	if len(c.linux().MaskedPaths) == 0 {
		return
	}
	c.at("linux.maskedPaths")
	flags := uint64(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_SYMLINK_NOFOLLOW)
	c.null = c.Do(program.CallOpenTree, "clone the host's /dev/null, to cover files with", program.AtCwd, program.Path("/dev/null"),
		program.Uint(flags)).FD("null")
	c.isDevice(c.null, 1, 3, "the host's /dev/null")
	// It is the host's node: nothing that is mounted over it may appear there, and
	// nobody may change its owner or mode through the mask.
	c.setattr(c.null, mountAttr{set: unix.MOUNT_ATTR_RDONLY, propagation: unix.MS_PRIVATE}, false, "make it read-only, and private")
}

// isDevice checks that fd is the character device major:minor. The number alone
// would not do: a block device may have the same.
func (c *compiler) isDevice(fd *program.Slot, major, minor uint64, what string) {
	c.statFD(fd, "look at "+what)
	c.Expect(program.From(c.statMode()), unix.S_IFMT<<modeShift, unix.S_IFCHR<<modeShift, unix.ENODEV, "see that "+what+" is a character device")
	c.Expect(program.From(c.statRdev()), ^uint64(0), major|minor<<32, unix.ENODEV, "see that "+what+" is the real one")
}

// Offsets in struct statx (statx(2)).
const (
	statModeOff = 0x18 // gid in the low half, mode above it
	statRdevOff = 0x80 // major, minor
	modeShift   = 32
)

func (c *compiler) statFD(fd *program.Slot, why string) {
	c.Do(program.CallStatx, why, program.From(fd), program.Path(""),
		program.Int(unix.AT_EMPTY_PATH), program.Uint(unix.STATX_TYPE|unix.STATX_MODE), program.Ptr(c.stat))
}

func (c *compiler) statMode() *program.Slot {
	return &program.Slot{Name: "statx.mode", Home: c.stat, Off: statModeOff, Inherited: -1}
}

func (c *compiler) statRdev() *program.Slot {
	return &program.Slot{Name: "statx.rdev", Home: c.stat, Off: statRdevOff, Inherited: -1}
}

// joinNamespaces joins and makes namespaces, in the order that rights allow.
func (c *compiler) joinNamespaces() {
	n := &c.ns
	if n.joined&(unix.CLONE_NEWPID|unix.CLONE_NEWUSER) != 0 {
		// Others share the namespace: they must not look into the child.
		c.at("linux.namespaces")
		c.Do(program.CallPrctl, "keep the processes of the shared namespace from looking in",
			program.Int(unix.PR_SET_DUMPABLE), program.Int(0))
	}
	// Root of the host may join everything before it gives its rights up; an
	// ordinary user has rights only inside the user namespace.
	userFirst := !c.host.Privileged()
	if userFirst {
		c.joinUser()
	}
	for i := range n.joins {
		if f := n.joins[i].Type; f != unix.CLONE_NEWUSER && f != unix.CLONE_NEWNS {
			c.setns(&n.joins[i])
		}
	}
	if !userFirst {
		c.joinUser()
	}
	for i := range n.joins {
		if n.joins[i].Type == unix.CLONE_NEWNS {
			c.setns(&n.joins[i])
			c.goToRootfs()
		}
	}
	c.newUser()
	c.unshareRest()
	c.intermediate()
}

func (c *compiler) joinUser() {
	for i := range c.ns.joins {
		if c.ns.joins[i].Type == unix.CLONE_NEWUSER {
			c.setns(&c.ns.joins[i])
			c.becomeRoot()
		}
	}
}

func (c *compiler) setns(j *join) {
	c.at(j.JSONPath)
	hint := j.File + " is not a " + j.Word + " namespace"
	if j.Type == unix.CLONE_NEWUSER {
		hint += ", or it is the runtime's own, which cannot be joined again" // setns(2)
	}
	c.Do(program.CallSetns, "join the "+j.Word+" namespace", program.From(j.fd), program.Uint(uint64(j.Type))).
		Say(unix.EINVAL, "", hint)
	c.Do(program.CallClose, "close it", program.From(j.fd))
}

func (c *compiler) newUser() {
	if !c.ns.newUser {
		return
	}
	c.at("linux.uidMappings")
	c.Do(program.CallUnshare, "make the user namespace", program.Uint(unix.CLONE_NEWUSER)).
		Say(unix.EPERM, "", "are user namespaces allowed to this user on this host?").
		Say(unix.ENOSPC, "", "the limit in /proc/sys/user/max_user_namespaces is reached")
	c.Barrier(program.BarrierIDMap, "let the runtime write the id maps")
	c.becomeRoot()
}

// becomeRoot takes the ids 0 of the user namespace: files that are made on the
// way must have an owner there, or the kernel answers EOVERFLOW.
func (c *compiler) becomeRoot() {
	c.Do(program.CallSetresgid, "become group 0 of the user namespace", program.Int(0), program.Int(0), program.Int(0)).
		Say(unix.EINVAL, "", "the mappings must map the container's group 0")
	c.Do(program.CallSetresuid, "become user 0 of the user namespace", program.Int(0), program.Int(0), program.Int(0)).
		Say(unix.EINVAL, "", "the mappings must map the container's user 0")
}

// unshareRest makes the namespaces that the child could not be born into.
func (c *compiler) unshareRest() {
	rest := c.ns.fresh &^ (c.ns.born | unix.CLONE_NEWUSER | unix.CLONE_NEWCGROUP)
	if rest == 0 {
		return
	}
	c.at("linux.namespaces")
	c.Do(program.CallUnshare, "make the new namespaces", program.Uint(uint64(rest)))
	if len(c.linux().TimeOffsets) > 0 {
		c.at("linux.timeOffsets")
		c.Barrier(program.BarrierTimens, "let the runtime write the clocks' offsets")
	}
}

// intermediate clones the process that stays, where a new or joined namespace holds for
// children only. CLONE_PARENT makes it the runtime's child, so that no process is
// left between it and whoever waits for it.
func (c *compiler) intermediate() {
	if !c.ns.intermediate {
		return
	}
	c.at("linux.namespaces")
	pid := c.Do(program.CallClone, "clone the process that stays, inside",
		program.Uint(unix.CLONE_PARENT|uint64(unix.SIGCHLD)), program.Int(0), program.Int(0), program.Int(0), program.Int(0)).FD("pid")
	stay := c.Label()
	c.ExpectNot(program.From(pid), ^uint64(0), 0, unix.EAGAIN, "ask which of the two this is").On(unix.EAGAIN, stay)
	c.Do(program.CallExitGroup, "end the first process", program.Int(0))
	c.Here(stay)
	c.dieWithParent()
	c.Barrier(program.BarrierBorn, "tell the runtime the pid")
}

// finishNamespaces is what can be done only inside: the cgroup namespace, whose
// root is where its maker is; the loopback interface, down in a new network
// namespace.
func (c *compiler) finishNamespaces() {
	c.at("linux.namespaces")
	if c.ns.fresh&unix.CLONE_NEWCGROUP != 0 {
		c.Do(program.CallUnshare, "make the cgroup namespace, rooted in the cgroups just entered", program.Uint(unix.CLONE_NEWCGROUP))
	}
	c.Do(program.CallSetsid, "start a session of its own").Ignore(unix.EPERM)
	if c.ns.fresh&unix.CLONE_NEWNET != 0 {
		c.loopback()
	}
}

func (c *compiler) loopback() {
	fd := c.Do(program.CallSocket, "open a socket to configure the network", program.Int(unix.AF_INET),
		program.Uint(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), program.Int(0)).FD("inet")
	ifreq := make([]byte, 40)
	copy(ifreq, "lo")
	ifreq[16] = unix.IFF_UP
	c.Do(program.CallIoctl, "bring the loopback interface up", program.From(fd),
		program.Uint(unix.SIOCSIFFLAGS), program.Ptr(program.Struct(ifreq, "{lo, IFF_UP}")))
	c.Do(program.CallClose, "close the socket", program.From(fd))
}
