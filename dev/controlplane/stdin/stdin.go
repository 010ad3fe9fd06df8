// Package stdin ties the life of a server to that of its parent.
package stdin

import (
	"io"
	"os"
)

// exitWithStdin names the variable that asks for it. The parent holds the
// other end of the pipe, and the kernel closes it however the parent ends, by
// SIGKILL too.
const exitWithStdin = "CONTROLPLANE_EXIT_WITH_STDIN"

// Watch ends this process when standard input ends, if asked to.
func Watch() {
	if os.Getenv(exitWithStdin) != "1" {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}
