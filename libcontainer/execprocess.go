package libcontainer

import (
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// ProcessChange is what exec changes of the process in a container's config. What is
// empty leaves it as it is.
type ProcessChange struct {
	Args []string
	Cwd  string
	// Env is added; of two with one name the last counts.
	Env []string
	// User is "uid", "uid:gid", "name" or "name:group"; names are those of the
	// container's own files. A name without a group has the group of its entry.
	User           string
	AdditionalGIDs []uint32
	// Capabilities are added to what the process may have, has, and may give on.
	Capabilities    []string
	AppArmor, Label string
	NoNewPrivileges *bool
	Terminal        bool
}

// ExecProcess makes the process of an exec out of the container's own.
func (c *Container) ExecProcess(ch *ProcessChange) (*specs.Process, error) {
	rec, err := c.record(cmdExec)
	if err != nil {
		return nil, err
	}
	s, _, err := keptConfig(c.dir)
	if err != nil {
		return nil, err
	}
	p := s.Process
	if p == nil {
		return nil, &fault.Error{Msg: "the container's config has no process to take the rest from", Hint: "give one by --process"}
	}
	if err := ch.apply(p); err != nil {
		return nil, err
	}
	if ch.User != "" {
		if err := setUser(p, ch.User, rec.PID); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (ch *ProcessChange) apply(p *specs.Process) error {
	p.Args, p.Terminal = ch.Args, ch.Terminal
	if ch.Cwd != "" {
		p.Cwd = ch.Cwd
	}
	p.Env = append(p.Env, ch.Env...)
	p.User.AdditionalGids = append(p.User.AdditionalGids, ch.AdditionalGIDs...)
	if ch.AppArmor != "" {
		p.ApparmorProfile = ch.AppArmor
	}
	if ch.Label != "" {
		p.SelinuxLabel = ch.Label
	}
	if ch.NoNewPrivileges != nil {
		p.NoNewPrivileges = *ch.NoNewPrivileges
	}
	if len(ch.Capabilities) == 0 {
		return nil
	}
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	c := p.Capabilities
	for _, name := range ch.Capabilities {
		for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted} {
			if !slices.Contains(*set, name) {
				*set = append(*set, name)
			}
		}
		// Through execve an ordinary user keeps what is ambient alone, and ambient can
		// be only what the config lets be inherited.
		if slices.Contains(c.Inheritable, name) && !slices.Contains(c.Ambient, name) {
			c.Ambient = append(c.Ambient, name)
		}
	}
	return nil
}

// setUser reads a user as exec --user has it.
func setUser(p *specs.Process, user string, pid int) error {
	name, group, hasGroup := strings.Cut(user, ":")
	if uid, err := strconv.ParseUint(name, 10, 32); err == nil {
		p.User.UID = uint32(uid)
	} else {
		u, err := findIn(pid, "etc/passwd", name)
		if err != nil {
			return err
		}
		p.User.UID, p.User.GID = u.id, u.gid
	}
	if !hasGroup {
		return nil
	}
	if gid, err := strconv.ParseUint(group, 10, 32); err == nil {
		p.User.GID = uint32(gid)
		return nil
	}
	g, err := findIn(pid, "etc/group", group)
	if err != nil {
		return err
	}
	p.User.GID = g.id
	return nil
}

// entry is what a line of passwd or group says.
type entry struct{ id, gid uint32 }

// findIn looks a name up in a file of the container whose init is pid: the third
// field is the id, the fourth of passwd the group (passwd(5), group(5)).
func findIn(pid int, file, name string) (entry, error) {
	text, err := containerFile(pid, file)
	if err != nil {
		return entry{}, err
	}
	if e, ok := entryIn(text, file, name); ok {
		return e, nil
	}
	return entry{}, fault.New("unable to find " + strconv.Quote(name) + ": no matching entries in the container's /" + file)
}

// entryIn finds a name in the text of a file. The file is the image's: an entry of
// passwd whose group is no number is passed over, as that would come to be 0, root's.
func entryIn(text, file, name string) (entry, bool) {
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Split(line, ":")
		if len(f) < 4 || f[0] != name || name == "" {
			continue
		}
		id, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(f[3], 10, 32) // of group these are its members
		if err == nil || file != "etc/passwd" {
			return entry{uint32(id), uint32(gid)}, true
		}
	}
	return entry{}, false
}
