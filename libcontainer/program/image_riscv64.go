package program

// What the ELF header says of this machine: e_machine and e_flags.
const (
	elfMachine = 243
	elfFlags   = 5
)
