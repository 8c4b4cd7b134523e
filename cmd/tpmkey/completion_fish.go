package main

import (
	"fmt"
	"strings"
)

const fishFrame = `# Completion of tpmkey for fish, printed by: tpmkey completion fish

function __tpmkey_keys
	set -l words (commandline -opc)
	set -l at (contains -i -- -dir $words)
	and set -l directory -dir $words[(math $at + 1)]
	tpmkey list -names $directory 2>/dev/null
end

# The arguments that are no flags after a command.
function __tpmkey_given
	set -l words (commandline -opc)
	test "$words[2]" = $argv[1]; or return 1
	set -l skip 0
	for word in $words[3..-1]
		if test $skip = 1
			set skip 0
		else if contains -- $word $argv[2..-1]
			set skip 1
		else if not string match -q -- '-*' $word
			echo $word
		end
	end
end

# Whether no (eq) or some (gt) of them are there.
function __tpmkey_operands
	set -l given (__tpmkey_given $argv[2..-1]); or return 1
	test (count $given) -$argv[1] 0
end

# Whether one is there, and is one of the words up to "--".
function __tpmkey_after
	set -l end (contains -i -- -- $argv)
	set -l given (__tpmkey_given $argv[(math $end + 1)..-1]); or return 1
	test (count $given) -eq 1; and contains -- $given[1] $argv[1..$end]
end

complete -c tpmkey -f
%s`

func fishScript(all []completions) string {
	var lines strings.Builder
	for _, c := range all {
		fmt.Fprintf(&lines, "complete -c tpmkey -n __fish_use_subcommand -a %s -d %s\n", c.verb.name, quoted(c.verb.summary))
		on := fmt.Sprintf("complete -c tpmkey -n '__fish_seen_subcommand_from %s'", c.verb.name)
		valued := ""
		for _, name := range c.switches {
			fmt.Fprintf(&lines, "%s -o %s\n", on, name)
		}
		for _, f := range c.valued {
			valued += " -" + f.name
			fmt.Fprintf(&lines, "%s -o %s %s\n", on, f.name, inFish(f.value, all))
		}
		if c.operand.kind != noPlace || len(c.operand.words) > 0 {
			fmt.Fprintf(&lines, "complete -c tpmkey -n '__tpmkey_operands eq %s%s' %s\n", c.verb.name, valued, inFish(c.operand, all))
		}
		files := fmt.Sprintf("__tpmkey_operands gt %s%s", c.verb.name, valued)
		for _, a := range c.after {
			after := fmt.Sprintf("__tpmkey_after %s -- %s%s", a.first, c.verb.name, valued)
			fmt.Fprintf(&lines, "complete -c tpmkey -n '%s' %s\n", after, inFish(a.place, all))
			files += "; and not " + after
		}
		fmt.Fprintf(&lines, "complete -c tpmkey -n '%s' -F\n", files)
	}
	return fmt.Sprintf(fishFrame, &lines)
}

func inFish(p place, all []completions) string {
	words := p.words
	switch p.kind {
	case anyFile:
		return "-r -F"
	case anyDirectory:
		return "-x -a '(__fish_complete_directories)'"
	case anyKey:
		return "-x -a '(__tpmkey_keys)'"
	case anyCommand:
		for _, c := range all {
			words = append(words, c.verb.name)
		}
	}
	return "-x -a " + quoted(strings.Join(words, " "))
}
