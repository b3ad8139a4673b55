// SPDX-License-Identifier: Apache-2.0

// Command licenses checks the licences of all modules that are linked into programs, and fails if
// one is not allowed or unknown. It reads only the module cache.
//
//	licenses [-notice FILE] [-json FILE] PROGRAM...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		cancel()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("licenses", flag.ContinueOnError)
	notice := flags.String("notice", "", "the file to write the licences of all modules to")
	list := flags.String("json", "", "the file to write the names of the licences of each module to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("no program: write the path of at least one, as in licenses [-notice FILE] [-json FILE] PROGRAM")
	}
	modules, err := linked(ctx, flags.Args()...)
	if err != nil {
		return err
	}
	problems := report(out, modules)
	if *notice != "" {
		if err := writeNotice(*notice, modules); err != nil {
			return err
		}
		fmt.Fprintf(out, "the notices are in %s\n", *notice)
	}
	if *list != "" {
		if err := writeList(*list, modules); err != nil {
			return err
		}
	}
	return errors.Join(problems...)
}

// report prints the number of modules for each licence, and returns the problems.
func report(out io.Writer, modules []module) []error {
	count := map[string]int{}
	var problems []error
	for _, m := range modules {
		for _, id := range m.licenses() {
			count[id]++
		}
		if err := m.check(); err != nil {
			problems = append(problems, err)
		}
	}
	fmt.Fprintf(out, "%d modules are linked, and Go itself\n", len(modules)-1)
	for _, id := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(out, "%4d %s\n", count[id], id)
	}
	return problems
}
