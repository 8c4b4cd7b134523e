// Tpmkey makes and shows RSA keys that live in the machine's TPM 2.0. What uses them is the PKCS #11 module and the package signer.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Exit codes. An interrupted command ends as the shell would say it of one that died of SIGINT, and one whose output nobody reads, of SIGPIPE.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUntried     = 2 // verify does not know
	exitInterrupted = 130
	exitBrokenPipe  = 141
)

// A verb is one thing that tpmkey does.
type verb struct {
	name      string
	arguments string // as the usage shows them
	summary   string // one line
	details   string // what its help adds
	flags     func(*flag.FlagSet, *tool)
	run       func(*tool, []string) error
}

// verbs in the order of the usage.
var verbs []verb

func init() { // help shows the table that it is in
	verbs = []verb{
		{"new", "[-bits N] [-exponent N] [-label TEXT] [-id HEX] [-pin] [-da] [-migratable] [-challenge HEX] [-system] [-json] [NAME]", "make a key", newDetails, newFlags, runNew},
		{"import", "[FLAGS] FILE NAME", "bring a software key into the TPM", importDetails, importFlags, runImport},
		{"migrate", "parent | export -to FILE NAME | import FILE [NAME]", "move a key to another TPM", migrateDetails, migrateFlags, runMigrate},
		{"list", "[-names] [-json]", "list the keys", listDetails, listFlags, runList},
		{"show", "[-json] NAME", "show what is known of a key", keyJSONDetails, jsonFlags, runShow},
		{"pub", "[-pem] [-tpm] [-json] NAME", "print a public key", pubDetails, pubFlags, runPub},
		{"pin", "[-remove] NAME", "change the PIN of a key, give it one, or take it away", pinDetails, pinFlags, runPIN},
		{"cert", "[-self-signed] [-remove] [-json] NAME [FILE]", "show, attach, make or remove the certificate of a key", certDetails, certFlags, runCert},
		{"csr", "[-subject NAME] [-san NAME] NAME", "print a request for a certificate", csrDetails, csrFlags, runCSR},
		{"sign", "[FLAGS] NAME [FILE]", "sign a file", signDetails, signFlags, runSign},
		{"verify", "[FLAGS] NAME|-pub FILE SIGNATURE [FILE]|-ak FILE EVIDENCE", "check a signature, or evidence of attest", verifyDetails, verifyFlags, runVerify},
		{"decrypt", "[FLAGS] NAME [FILE]", "decrypt a file", decryptDetails, decryptFlags, runDecrypt},
		{"attest", "[FLAGS] NAME -ak AK|-new AK", "prove that a key was made in this TPM", attestDetails, attestFlags, runAttest},
		{"ssh", "[-remove] [-dry-run] [-module FILE] [-config FILE]", "let ssh use the keys", sshDetails, sshFlags, runSSH},
		{"rename", "OLD NEW", "give a key another name", renameDetails, nil, runRename},
		{"delete", "[-yes] NAME", "delete a key for ever", "Nobody can bring it back. Without a terminal to ask on, -yes is needed.\n", deleteFlags, runDelete},
		{"device", "[-json]", "show which TPM is used, and whether its filter is a boundary", deviceDetails, jsonFlags, runDevice},
		{"doctor", "[-json]", "look for what is wrong with the machine, its TPM and the keys", doctorDetails, jsonFlags, runDoctor},
		{"filter", "[-json] list | show NAME | check FILE | explain COMMAND", "explain what the filter lets through to a TPM", filterDetails, filterFlags, runFilter},
		{"enable-rm", "-- PROGRAM [ARG]...", "run a program with a resource manager before a raw TPM", enableRMDetails, nil, runEnableRM},
		{"namespace", "[-json] list | show NAME | test USER", "show who gets what from tpmkeyd", namespaceDetails, namespaceFlags, runNamespace},
		{"pipe", "", "let programs of tpm2-tss reach the TPM through tpmkeyd", pipeDetails, nil, runPipe},
		{"run", "[FLAGS] -- PROGRAM [ARGUMENT]...", "start a program that can use the TPM by a descriptor", runDetails, runFlags, runRun},
		{"top", "[-once] [-control PATH] [-json]", "show who uses tpmkeyd's chips", topDetails, topFlags, runTop},
		{"completion", "bash|zsh|fish", "print a script that completes command lines", completionDetails, nil, runCompletion},
		{"version", "[-json]", "print the version, and how it was built", versionDetails, jsonFlags, runVersion},
		{"help", "[COMMAND]", "explain a command", "", nil, runHelp},
	}
}

const common = `Every command takes:
  -device SPEC  the TPM: broker:PATH, /dev/tpms, /dev/tpmrm0, /dev/tpm0, or unix:PATH
                or tcp:HOST:PORT of an emulator (default: TPMKEY_DEVICE, else the
                first that opens)
  -dir DIR      the key directory (default: the user's, then /etc/tpmkey/keys)
  -owner-password-file FILE
                the password of the TPM's owner, where there is one and the parent
                of keys was not made persistent at 0x81000001
`

const exitCodes = `
Exit codes: 0 it is done; 1 it failed; 2 the command line means nothing; 130 it was
interrupted. verify: 1 not valid, 2 not tried. doctor: 1 warnings, 2 failures.
`

// commonShort leaves the screen to the command.
const commonShort = `Like every command it takes -device SPEC and -dir DIR; see: tpmkey help
`

func main() {
	survivePipes()
	t := &tool{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(t.main(os.Args[1:]))
}

// main runs a command line and gives its exit code.
func (t *tool) main(args []string) int {
	stdout := &output{to: t.stdout}
	t.stdout = stdout
	err := noLentPrivileges(os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid())
	if err == nil {
		err = t.dispatch(args)
	}
	t.close()
	if err == nil {
		err = stdout.err
	}
	var wrong usageError
	var reported reportedStatus
	var untried untriedError
	switch {
	case err == nil:
		return 0
	case errors.Is(stdout.err, unix.EPIPE): // head has seen enough
		return exitBrokenPipe
	case t.interrupted():
		t.say("error: interrupted")
		return exitInterrupted
	case errors.As(err, &reported):
		return int(reported)
	case errors.As(err, &untried):
		t.fail(untried.error)
		return exitUntried
	case errors.As(err, &wrong):
		t.fail(err)
		return exitUsage
	}
	t.fail(err)
	return exitFailed
}

// dispatch finds the verb and takes the flags out of its arguments, wherever they stand.
func (t *tool) dispatch(args []string) error {
	if len(args) == 0 {
		return usageError("no command; run: tpmkey help")
	}
	if args[0] == "-h" || args[0] == "--help" || args[0] == "-help" {
		return runHelp(t, nil)
	}
	if args[0] == "--version" || args[0] == "-version" {
		args = append([]string{"version"}, args[1:]...)
	}
	if strings.HasPrefix(args[0], "-") {
		return usageError(fmt.Sprintf("%s stands before the command; write it after the command: tpmkey COMMAND %s", args[0], args[0]))
	}
	v, err := verbOf(args[0])
	if err != nil {
		return err
	}
	flags := v.flagSet(t)
	rest, err := operands(flags, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return runHelp(t, []string{v.name})
	case err != nil:
		return usageError(fmt.Sprintf("%s: %v; run: tpmkey help %s", v.name, err, v.name))
	}
	if err := noEmptyValue(flags); err != nil {
		return err
	}
	if err := t.readOwnerPassword(); err != nil {
		return err
	}
	return v.run(t, rest)
}

// flagSet are the flags of a verb, with those that every verb has.
func (v *verb) flagSet(t *tool) *flag.FlagSet {
	flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&t.device, "device", "", "")
	flags.StringVar(&t.dir, "dir", "", "")
	flags.StringVar(&t.ownerFile, "owner-password-file", "", "")
	if v.flags != nil {
		v.flags(flags, t)
	}
	return flags
}

// operands parses flags before, between and after the other arguments, up to "--".
func operands(flags *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		left := flags.Args()
		if n := len(args) - len(left); n > 0 && args[n-1] == "--" {
			return append(rest, left...), nil
		}
		if len(left) == 0 {
			break
		}
		rest, args = append(rest, left[0]), left[1:]
	}
	return rest, nil
}

func verbOf(name string) (*verb, error) {
	for i := range verbs {
		if verbs[i].name == name {
			return &verbs[i], nil
		}
	}
	return nil, usageError(fmt.Sprintf("there is no command %q; run: tpmkey help", name))
}

// oneName is the only argument of most verbs.
func oneName(args []string) (string, error) {
	if len(args) != 1 {
		return "", usageError(fmt.Sprintf("this command needs the name of one key, not %s; run: tpmkey help", arguments(len(args))))
	}
	return args[0], nil
}

// arguments counts them in words.
func arguments(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

func noArguments(args []string) error {
	if len(args) > 0 {
		return usageError(fmt.Sprintf("this command takes no argument %q; run: tpmkey help", args[0]))
	}
	return nil
}

func runHelp(t *tool, args []string) error {
	if len(args) > 0 {
		v, err := verbOf(args[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(t.stdout, "usage: %s\n\n%s.\n%s\n%s", v.usage(), capital(v.summary), v.details, commonShort)
		return nil
	}
	fmt.Fprintf(t.stdout, "RSA keys that live in the machine's TPM.\n\n")
	for _, v := range verbs {
		fmt.Fprintf(t.stdout, "  %-14s %s\n", "tpmkey "+v.name, v.summary)
	}
	fmt.Fprintf(t.stdout, "\n%s%s", common, exitCodes)
	return nil
}

func (v *verb) usage() string { return strings.TrimSpace("tpmkey " + v.name + " " + v.arguments) }

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
