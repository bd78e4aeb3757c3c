package cli

var seccompCommand = command{
	name:     "seccomp",
	usage:    "check and record profiles of system calls",
	children: []*command{&seccompCheckCommand, &seccompRecordCommand},
}
