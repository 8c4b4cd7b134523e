package main

import (
	"fmt"
	"strings"
)

// bash splits words at "@" and ":", which names of keys may have: the script goes by the line itself, and gives back what bash takes for the current word.
const bashFrame = `# Completion of tpmkey for bash, printed by: tpmkey completion bash

_tpmkey() {
	local line=${COMP_LINE:0:COMP_POINT} current="" verb="" awaited="" dir="" first="" operands=0
	local switches="" valued="" operand="" word
	local -a words
	IFS=$' \t' read -ra words <<<"$line"
	if [[ $line != *[[:space:]] ]]; then
		current=${words[-1]}
		unset 'words[-1]'
	fi
	local split=${current%%"$2"}
	for word in "${words[@]:1}"; do
		if [[ -n $awaited ]]; then
			[[ $awaited == -dir ]] && dir=${word/#~\//$HOME/}
			awaited=""
		elif [[ -z $verb ]]; then
			verb=$word
			_tpmkey_verb
		elif [[ $word == -* ]]; then
			word=${word/#--/-}
			[[ " $valued " == *" $word "* ]] && awaited=$word
		else
			((operands == 0)) && first=$word
			operands=$((operands + 1))
		fi
	done
	COMPREPLY=()
	if [[ -n $awaited ]]; then
		_tpmkey_place "$(_tpmkey_value)"
	elif [[ -z $verb ]]; then
		_tpmkey_place commands
	elif [[ $current == -* ]]; then
		_tpmkey_place "words $switches $valued"
	elif ((operands == 0)); then
		_tpmkey_place "$operand"
	elif ((operands == 1)); then
		_tpmkey_place "$(_tpmkey_second)"
	else
		_tpmkey_place files
	fi
}

_tpmkey_place() {
	case $1 in
	files) compopt -o default ;;
	directories) compopt -o dirnames ;;
	keys) _tpmkey_reply < <(tpmkey list -names ${dir:+-dir "$dir"} 2>/dev/null) ;;
	commands) _tpmkey_reply < <(printf '%%s\n' %s) ;;
	words*) _tpmkey_reply < <(printf '%%s\n' ${1#words}) ;;
	esac
}

_tpmkey_reply() {
	local candidate
	while IFS= read -r candidate; do
		[[ -n $candidate && $candidate == "$current"* ]] || continue
		candidate=$(printf %%q "$candidate")
		COMPREPLY+=("${candidate#"$split"}")
	done
}

_tpmkey_verb() {
	case $verb in
%s	esac
}

_tpmkey_value() {
	case "$verb $awaited" in
%s	*) echo files ;;
	esac
}

_tpmkey_second() {
	case "$verb $first" in
%s	*) echo files ;;
	esac
}

complete -F _tpmkey tpmkey
`

func bashScript(all []completions) string {
	var names []string
	var ofVerb, ofValue, ofSecond strings.Builder
	for _, c := range all {
		names = append(names, c.verb.name)
		var valued []string
		for _, f := range c.valued {
			valued = append(valued, f.name)
			if f.value.kind != anyFile {
				fmt.Fprintf(&ofValue, "\t'%s -%s') echo '%s' ;;\n", c.verb.name, f.name, inBash(f.value))
			}
		}
		for _, a := range c.after {
			fmt.Fprintf(&ofSecond, "\t'%s %s') echo '%s' ;;\n", c.verb.name, a.first, inBash(a.place))
		}
		fmt.Fprintf(&ofVerb, "\t%s) switches='%s' valued='%s' operand='%s' ;;\n", c.verb.name, dashed(c.switches), dashed(valued), inBash(c.operand))
	}
	return fmt.Sprintf(bashFrame, strings.Join(names, " "), &ofVerb, &ofValue, &ofSecond)
}

func inBash(p place) string {
	if len(p.words) > 0 {
		return "words " + strings.Join(p.words, " ")
	}
	return p.kind
}

func dashed(flags []string) string {
	var words []string
	for _, name := range flags {
		words = append(words, "-"+name)
	}
	return strings.Join(words, " ")
}
