package compile

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/libcontainer/program"
	"berth/spec"
)

// capSet reads a set of names. Unknown and ungrantable ones are warnings and not
// errors (runtime-spec config.md, Linux Process).
func (c *compiler) capSet(list []string, name string, grantable uint64) uint64 {
	var set uint64
	var left []string
	for _, s := range list {
		n := slices.Index(spec.Capabilities[:], s)
		if n < 0 || n > c.host.LastCap || grantable&(1<<n) == 0 {
			left = append(left, s)
			continue
		}
		set |= 1 << n
	}
	if len(left) > 0 {
		c.warning(c.ofProcess("capabilities."+name), "capabilities that cannot be granted are ignored: "+strings.Join(left, ", "))
	}
	return set
}

// capabilities are the five sets of a process.
type capabilities struct {
	bounding, effective, inheritable, permitted, ambient uint64
}

// capabilities reads the sets of the config. Without any the process has none, as
// with runc and crun: what the caller happens to have is nobody's wish.
func (c *compiler) capabilities() *capabilities {
	list := c.process.Capabilities
	if list == nil {
		return &capabilities{}
	}
	all := ^uint64(0)
	if !c.ns.has(unix.CLONE_NEWUSER) {
		all = c.host.Permitted & c.host.Bounding
	}
	s := &capabilities{
		bounding:    c.capSet(list.Bounding, "bounding", all),
		permitted:   c.capSet(list.Permitted, "permitted", all),
		inheritable: c.capSet(list.Inheritable, "inheritable", all),
	}
	// The kernel takes no more than these; validation has warned of the rest.
	s.effective = c.capSet(list.Effective, "effective", all) & s.permitted
	s.ambient = c.capSet(list.Ambient, "ambient", all) & s.permitted & s.inheritable
	return s
}

// rights are what the process may be, for Verify.
func (c *compiler) rights() program.Rights {
	if c.process == nil || c.caps == nil {
		return program.Rights{}
	}
	u := &c.process.User
	return program.Rights{
		UID: u.UID, GID: u.GID, Groups: u.AdditionalGids, LastCap: c.host.LastCap, Bounding: c.caps.bounding,
		Effective: c.caps.effective, Permitted: c.caps.permitted, Inheritable: c.caps.inheritable, Ambient: c.caps.ambient,
		NoNewPrivileges: c.process.NoNewPrivileges,
	}
}

// credentials gives the process its user and its rights. The bounding set falls
// while CAP_SETPCAP is there; the other sets come after the change of user,
// through which SECBIT_KEEP_CAPS carries them.
func (c *compiler) credentials(caps *capabilities) {
	u := &c.process.User
	c.atProcess("capabilities.bounding")
	for n := 0; n <= c.host.LastCap; n++ {
		if caps.bounding&(1<<n) == 0 {
			c.Do(program.CallPrctl, "drop "+capName(n)+" for good", program.Int(unix.PR_CAPBSET_DROP), program.Int(n))
		}
	}
	c.atProcess("capabilities")
	c.Do(program.CallPrctl, "keep capabilities over the change of user", program.Int(unix.PR_SET_KEEPCAPS), program.Int(1))
	c.groups()
	c.atProcess("user.gid")
	c.Do(program.CallSetresgid, "become the group", program.Uint(uint64(u.GID)), program.Uint(uint64(u.GID)), program.Uint(uint64(u.GID))).
		Say(unix.EINVAL, "cannot setgid to unmapped gid "+utoa(u.GID)+" in user namespace", "")
	c.atProcess("user.uid")
	c.Do(program.CallSetresuid, "become the user", program.Uint(uint64(u.UID)), program.Uint(uint64(u.UID)), program.Uint(uint64(u.UID))).
		Say(unix.EINVAL, "cannot setuid to unmapped uid "+utoa(u.UID)+" in user namespace", "")
	c.atProcess("capabilities")
	c.Do(program.CallPrctl, "keep them no longer", program.Int(unix.PR_SET_KEEPCAPS), program.Int(0))
	c.capset(caps)
}

func capName(n int) string {
	if n < len(spec.Capabilities) {
		return spec.Capabilities[n]
	}
	return "capability " + strconv.Itoa(n)
}

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func (c *compiler) groups() {
	u := &c.process.User
	c.atProcess("user.additionalGids")
	list := make([]byte, 4*len(u.AdditionalGids))
	var words []string
	for i, g := range u.AdditionalGids {
		binary.LittleEndian.PutUint32(list[4*i:], g)
		words = append(words, utoa(g))
	}
	d := program.Struct(list, "["+strings.Join(words, ", ")+"]")
	step := c.Do(program.CallSetgroups, "set the supplementary groups", program.Int(len(u.AdditionalGids)), program.Ptr(d))
	if len(u.AdditionalGids) == 0 && c.ns.has(unix.CLONE_NEWUSER) {
		// An ordinary user's map has setgroups denied (user_namespaces(7)); then
		// there is nothing to drop that he could drop.
		step.Ignore(unix.EPERM)
		return
	}
	step.Say(unix.EPERM, "cannot set any additional groups in a rootless container", "").
		Say(unix.EINVAL, "", "each group must be mapped in the user namespace")
}

// capset sets the permitted, effective and inheritable sets in one call, then
// the ambient set one by one (capabilities(7)).
func (c *compiler) capset(caps *capabilities) {
	head := make([]byte, 8)
	binary.LittleEndian.PutUint32(head, unix.LINUX_CAPABILITY_VERSION_3)
	data := make([]byte, 24)
	for half := range 2 {
		shift := 32 * half
		binary.LittleEndian.PutUint32(data[12*half:], uint32(caps.effective>>shift))
		binary.LittleEndian.PutUint32(data[12*half+4:], uint32(caps.permitted>>shift))
		binary.LittleEndian.PutUint32(data[12*half+8:], uint32(caps.inheritable>>shift))
	}
	text := "{" + strconv.Itoa(bits.OnesCount64(caps.effective)) + " effective, " +
		strconv.Itoa(bits.OnesCount64(caps.permitted)) + " permitted, " +
		strconv.Itoa(bits.OnesCount64(caps.inheritable)) + " inheritable}"
	c.Do(program.CallCapset, "set the capabilities", program.Ptr(program.Struct(head, "{v3, self}")), program.Ptr(program.Struct(data, text)))
	const clearAll, raise = 4, 2 // PR_CAP_AMBIENT_CLEAR_ALL, PR_CAP_AMBIENT_RAISE
	c.atProcess("capabilities.ambient")
	c.Do(program.CallPrctl, "clear the ambient set", program.Int(unix.PR_CAP_AMBIENT), program.Int(clearAll), program.Int(0), program.Int(0), program.Int(0))
	for n := 0; n <= c.host.LastCap; n++ {
		if caps.ambient&(1<<n) != 0 {
			c.Do(program.CallPrctl, "raise "+capName(n)+" in the ambient set", program.Int(unix.PR_CAP_AMBIENT), program.Int(raise), program.Int(n), program.Int(0), program.Int(0))
		}
	}
}
