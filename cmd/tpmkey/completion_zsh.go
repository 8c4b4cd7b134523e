package main

import (
	"fmt"
	"strings"
)

const zshFrame = `#compdef tpmkey
# Completion of tpmkey for zsh, printed by: tpmkey completion zsh

_tpmkey() {
	local context state state_descr line
	typeset -A opt_args
	_arguments -C '1:command:_tpmkey_commands' '*::argument:->arguments'
	[[ $state == arguments ]] || return
	case $words[1] in
%s	esac
}

_tpmkey_commands() {
	local -a commands
	commands=(
%s	)
	_describe command commands
}

_tpmkey_keys() {
	local -a keys directory
	local given=${opt_args[-dir]:-}
	[[ -n $given ]] && directory=(-dir ${~given})
	keys=(${(f)"$(tpmkey list -names $directory 2>/dev/null)"})
	compadd -a keys
}

_tpmkey_second() {
	case "$1 $line[1]" in
%s	*) _files ;;
	esac
}

if [[ $funcstack[1] == _tpmkey ]]; then
	_tpmkey "$@"
else
	compdef _tpmkey tpmkey
fi
`

func zshScript(all []completions) string {
	var ofVerb, ofSecond, commands strings.Builder
	for _, c := range all {
		fmt.Fprintf(&commands, "\t\t%s\n", quoted(c.verb.name+":"+c.verb.summary))
		fmt.Fprintf(&ofVerb, "\t%s) _arguments", c.verb.name)
		for _, name := range c.switches {
			fmt.Fprintf(&ofVerb, " -%s", name)
		}
		for _, f := range c.valued {
			fmt.Fprintf(&ofVerb, " %s", quoted("-"+f.name+":value:"+inZsh(f.value)))
		}
		if p := inZsh(c.operand); p != zshActions[noPlace] {
			fmt.Fprintf(&ofVerb, " %s", quoted("1:argument:"+p))
			if len(c.after) > 0 {
				fmt.Fprintf(&ofVerb, " %s", quoted("2:argument:{ _tpmkey_second "+c.verb.name+" }"))
			}
			fmt.Fprint(&ofVerb, " '*:file:_files'")
		}
		for _, a := range c.after {
			action := inZsh(a.place)
			if len(a.place.words) > 0 {
				action = "compadd " + strings.Join(a.place.words, " ")
			}
			fmt.Fprintf(&ofSecond, "\t'%s %s') %s ;;\n", c.verb.name, a.first, action)
		}
		fmt.Fprintln(&ofVerb, " ;;")
	}
	return fmt.Sprintf(zshFrame, &ofVerb, &commands, &ofSecond)
}

var zshActions = map[string]string{anyFile: "_files", anyDirectory: "_files -/", anyKey: "_tpmkey_keys", anyCommand: "_tpmkey_commands", noPlace: " "}

func inZsh(p place) string {
	if len(p.words) > 0 {
		return "(" + strings.Join(p.words, " ") + ")"
	}
	return zshActions[p.kind]
}

// quoted writes a text so that zsh and fish take it for one word.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'"'"'`) + "'" }
