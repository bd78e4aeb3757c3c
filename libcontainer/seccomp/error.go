package seccomp

// Error says what is wrong with a profile, and where.
type Error struct {
	// Path is the JSON path, from linux.seccomp on: syscalls[3].args[0].op.
	Path string
	// Message is what is wrong there.
	Message string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return "linux.seccomp: " + e.Message
	}
	return "linux.seccomp." + e.Path + ": " + e.Message
}

func bad(path, message string) error { return &Error{Path: path, Message: message} }
