//go:build !linux

package main

import "syscall"

// Without a death signal the end of standard input still ends the command,
// unless the guard itself was killed.
func boundToParent() *syscall.SysProcAttr { return nil }
