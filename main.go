// Berth is an OCI container runtime for Linux.
package main

func main() {}
