package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// runGuard runs a command whose life is bound to this process: the command is
// killed when standard input ends, and (on Linux) when this process is killed.
// SIGTERM, SIGINT and SIGHUP are passed on. The exit code is the command's, or
// 128 plus the signal that ended it.
func runGuard(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "guard: no command given")
		return 2
	}
	// The kernel sends the death signal when the thread that started the
	// command ends, so that thread has to be ours to the end.
	runtime.LockOSThread()

	// Subscribed before the start: no signal may fall between the two.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)

	command := exec.Command(args[0], args[1:]...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = boundToParent()
	if err := command.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		return 127
	}
	go func() {
		for s := range signals {
			_ = command.Process.Signal(s)
		}
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = command.Process.Kill()
	}()
	return exitCode(command.Wait())
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "guard:", err)
		return 1
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}
