// Command release packs what is released: the image, the chart, and the archives of the kubectl plugin. It needs no container daemon, and
// makes the same bytes of the same input. `cargo xtask` builds it, with the version of the workspace, and hands it what cargo has built.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// The version in Cargo.toml, without a `v`.
var version string

// epoch is the time of everything that is packed: the same in every build.
const epoch = 0

type command struct {
	name, does string
	run        func(flags *flag.FlagSet, arguments []string) error
}

var commands = []command{
	{"archives", "packs the kubectl plugin for each platform, with a manifest for Krew", archives},
	{"image", "packs the image of the operator, with its SBOM and its provenance", image},
	{"chart", "packs the chart so that it installs a pushed image by its digest", chart},
	{"program", "packs any other program as an image, for `cargo xtask node`", program},
	{"packages", "unpacks packages of Debian into a folder, for `cargo xtask node`", packages},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		os.Exit(1)
	}
}

func run(arguments []string) error {
	var names []string
	for _, command := range commands {
		names = append(names, command.name)
	}
	if len(arguments) == 0 || !slices.Contains(names, arguments[0]) {
		return fmt.Errorf("name a command: %s", strings.Join(names, ", "))
	}
	command := commands[slices.Index(names, arguments[0])]
	flags := flag.NewFlagSet(command.name, flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "cargo xtask %s: %s\n\n", command.name, command.does)
		flags.PrintDefaults()
	}
	return command.run(flags, arguments[1:])
}

// parse reads flags, of which those that are named here must be set.
func parse(flags *flag.FlagSet, arguments []string, required ...string) error {
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s is no flag", flags.Arg(0))
	}
	for _, name := range required {
		if flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("--%s is missing: %s", name, flags.Lookup(name).Usage)
		}
	}
	return nil
}
