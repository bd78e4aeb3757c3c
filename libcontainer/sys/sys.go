// Package sys has what every package that makes system calls needs of them: to make
// one again that a signal broke off, to write all there is to write, and to wait
// with patience that ends.
package sys

import "golang.org/x/sys/unix"

// Retry repeats a call that a signal broke off. The Go runtime sends itself
// signals, so that any call that may wait sees one.
func Retry(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// WriteAll writes data to a file whose writes may be short: one on a disk that fills
// up. What takes each write as a command, as a control file does, wants Retry.
func WriteAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := Retry(func() (int, error) { return unix.Write(fd, data) })
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
