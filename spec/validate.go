package spec

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// Validate returns everything that is wrong with a configuration and can be
// known from it alone, each with its JSON path. It never looks at the host.
func Validate(s *specs.Spec) fault.List {
	c := &checker{s: s}
	c.checkVersion(s.Version)
	c.checkRoot(s.Root)
	c.checkNames(s)
	c.checkMounts(s.Mounts)
	c.checkHooks(s.Hooks)
	for _, name := range keys(s.Annotations) {
		if name == "" {
			c.add(field("annotations", name), "the name of an annotation must not be empty")
		}
	}
	if s.Process != nil {
		c.checkProcess("process", s.Process)
	}
	if s.Linux != nil {
		c.checkLinux(s.Linux)
	}
	return c.errs
}

// ValidateProcess returns everything that is wrong with a process by itself,
// such as one that joins a running container: s is the container's configuration
// (nil where there is none) and path the JSON path to report, "process" say.
func ValidateProcess(p *specs.Process, s *specs.Spec, path string) fault.List {
	if s == nil {
		s = &specs.Spec{}
	}
	c := &checker{s: s}
	c.checkProcess(path, p)
	return c.errs
}

// ValidateResources returns everything that is wrong with resource limits by
// themselves, such as an update brings: what one that is not named has to be, that in
// force decides.
func ValidateResources(r *specs.LinuxResources, path string) fault.List {
	c := &checker{s: &specs.Spec{}, change: true}
	c.checkResources(path, r)
	return c.errs
}

// checker gathers errors. Paths are put together only once there is one.
type checker struct {
	s *specs.Spec
	// change says that the resources change those in force.
	change bool
	errs   fault.List
}

// add notes an error. The properties of a document that is itself the object, such as
// `exec --process` takes, stand below an empty path.
func (c *checker) add(path, msg string) {
	c.errs = append(c.errs, fault.At(strings.TrimPrefix(path, "."), msg))
}

// namespace returns the entry for a kind of namespace, nil where the runtime's
// own is inherited.
func namespace(s *specs.Spec, kind specs.LinuxNamespaceType) *specs.LinuxNamespace {
	if s.Linux == nil {
		return nil
	}
	for i := range s.Linux.Namespaces {
		if ns := &s.Linux.Namespaces[i]; ns.Type == kind {
			return ns
		}
	}
	return nil
}

// has says whether the container has a namespace of that kind for itself, be it
// new or joined.
func (c *checker) has(kind specs.LinuxNamespaceType) bool { return namespace(c.s, kind) != nil }

func quote(s string) string { return strconv.Quote(s) }

func decimal[T ~int | ~int32 | ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func unsigned[T ~uint | ~uint16 | ~uint32 | ~uint64](n T) string {
	return strconv.FormatUint(uint64(n), 10)
}

// keys returns the keys of a map in order, so that errors come in the same order
// every time.
func keys[K cmp.Ordered, V any](m map[K]V) []K {
	if len(m) == 0 {
		return nil
	}
	list := make([]K, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// noNUL refuses a string that the kernel would cut short at its NUL byte.
func (c *checker) noNUL(path, value string) {
	if strings.IndexByte(value, 0) >= 0 {
		c.add(path, "must not contain a NUL byte")
	}
}

// absolute returns what is wrong with an absolute path, or nothing.
func absolute(value string) string {
	switch {
	case value == "":
		return "must not be empty"
	case value[0] != '/':
		return "must be an absolute path, not " + quote(value)
	case strings.IndexByte(value, 0) >= 0:
		return "must not contain a NUL byte"
	}
	return ""
}

// oneOf refuses a value that is not in the list. what names the value.
func oneOf[T ~string](c *checker, path, what string, value T, list []T) {
	if slices.Contains(list, value) {
		return
	}
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = string(v)
	}
	accepted := ": must be one of " + strings.Join(names, ", ")
	if value == "" {
		c.add(path, what+" must be specified"+accepted)
		return
	}
	c.add(path, "unknown "+what+" "+quote(string(value))+accepted)
}

// checkRoot is ROOT-1 and ROOT-2.
func (c *checker) checkRoot(r *specs.Root) {
	switch {
	case r == nil:
		c.add("root", "root must be specified")
	case r.Path == "":
		c.add("root.path", "must not be empty")
	default:
		c.noNUL("root.path", r.Path)
	}
}

// maxName is __NEW_UTS_LEN, the most that sethostname(2) and setdomainname(2)
// take.
const maxName = 64

// checkNames is UTS-1 and UTS-2.
func (c *checker) checkNames(s *specs.Spec) {
	for _, n := range [...]struct{ path, value string }{{"hostname", s.Hostname}, {"domainname", s.Domainname}} {
		if n.value == "" {
			continue
		}
		if !c.has(specs.UTSNamespace) {
			c.add(n.path, "unable to set "+n.path+" without a private UTS namespace")
		}
		if len(n.value) > maxName {
			c.add(n.path, "must not be longer than "+strconv.Itoa(maxName)+" bytes")
		}
		c.noNUL(n.path, n.value)
	}
}

// checkHooks is HOK-7, HOK-9 and HOK-10.
func (c *checker) checkHooks(h *specs.Hooks) {
	if h == nil {
		return
	}
	//lint:ignore SA1019 deprecated in the runtime-spec, yet Docker and podman use it
	c.checkHookList("hooks.prestart", h.Prestart)
	c.checkHookList("hooks.createRuntime", h.CreateRuntime)
	c.checkHookList("hooks.createContainer", h.CreateContainer)
	c.checkHookList("hooks.startContainer", h.StartContainer)
	c.checkHookList("hooks.poststart", h.Poststart)
	c.checkHookList("hooks.poststop", h.Poststop)
}

func (c *checker) checkHookList(kind string, list []specs.Hook) {
	for i := range list {
		h := &list[i]
		if msg := absolute(h.Path); msg != "" {
			c.add(index(kind, i)+".path", msg)
		}
		for j, arg := range h.Args {
			if strings.IndexByte(arg, 0) >= 0 {
				c.add(index(index(kind, i)+".args", j), "must not contain a NUL byte")
			}
		}
		for j, entry := range h.Env {
			if msg := badEnv(entry); msg != "" {
				c.add(index(index(kind, i)+".env", j), msg)
			}
		}
		if h.Timeout != nil && *h.Timeout <= 0 {
			c.add(index(kind, i)+".timeout", "must be more than 0 seconds, not "+strconv.Itoa(*h.Timeout))
		}
	}
}

// badEnv returns what is wrong with an entry of an environment, or nothing.
func badEnv(entry string) string {
	switch {
	case strings.IndexByte(entry, '=') < 0:
		return "invalid environment variable: missing '='"
	case entry[0] == '=':
		return "invalid environment variable: empty name"
	case strings.IndexByte(entry, 0) >= 0:
		return "invalid environment variable: NUL byte"
	}
	return ""
}

// badList returns what is wrong with a list of CPUs or memory nodes, or nothing.
// The grammar is that of the kernel's bitmap_parselist: numbers and ranges
// between commas or blanks, N for the last, all for all, and a range may be
// thinned out to so many of every group (0-10:2/4).
func badList(s string) string {
	for i := 0; i < len(s); {
		if isSeparator(s[i]) {
			i++
			continue
		}
		end, ok := region(s, i)
		if !ok {
			return "bad list " + quote(s) + " at character " + strconv.Itoa(end+1)
		}
		i = end
	}
	return ""
}

func isSeparator(b byte) bool { return b == ',' || b == ' ' || b == '\t' || b == '\n' }

// region parses one region of a list; it returns where the region ends, or where
// it goes wrong.
func region(s string, i int) (int, bool) {
	if strings.HasPrefix(s[i:], "all") {
		i += len("all")
	} else {
		low, next, ok := bound(s, i)
		if !ok {
			return i, false
		}
		if i = next; i < len(s) && s[i] == '-' {
			high, next, ok := bound(s, i+1)
			if !ok || high < low {
				return i + 1, false
			}
			i = next
		}
	}
	if i < len(s) && s[i] == ':' {
		used, next, ok := bound(s, i+1)
		if !ok || next >= len(s) || s[next] != '/' {
			return next, false
		}
		group, end, ok := bound(s, next+1)
		if !ok || group == 0 || used > group {
			return next + 1, false
		}
		i = end
	}
	return i, i == len(s) || isSeparator(s[i])
}

// bound parses a number of at most nine digits, or N, which is above them all.
func bound(s string, i int) (n, next int, ok bool) {
	if i < len(s) && s[i] == 'N' {
		return 1 << 30, i + 1, true
	}
	start := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' && i-start < 9 {
		n = n*10 + int(s[i]-'0')
		i++
	}
	return n, i, i > start
}
