package doctor

import "time"

// How long checks may take: a look at files and programs, a few commands, and what makes keys in a slow chip.
const (
	quick = 5 * time.Second
	short = 10 * time.Second
	long  = 2 * time.Minute
)

// checks in the order in which they are reported. Those of the TPM run in this order, too.
var checks = []check{
	{"surroundings", "is this a container, a sandbox or a virtual machine?", quick, surroundings, nil},
	{"tpm-present", "has the kernel a TPM 2.0?", quick, kernelTPM, nil},
	{"tpm-device", "may this user open a device or socket of it?", quick, deviceNode, nil},
	{"who-may-open", "who else may open the TPM itself, past any filter?", quick, whoMayOpen, nil},
	{"chip-holders", "does another program hold the TPM?", quick, chipHolders, nil},

	{"tpm-opens", "does a TPM open, and answer?", short, nil, opens},
	{"boundary", "is the filter a security boundary for this user?", short, nil, boundary},
	{"self-test", "has the TPM found itself in order?", short, nil, selfTest},
	{"firmware", "who made the TPM, and is its firmware known to be bad?", short, nil, firmware},
	{"lockout", "is the TPM locked after wrong passwords, or soon?", short, nil, lockout},
	{"passwords", "have the TPM's owner and lockout passwords?", short, nil, passwords},
	{"slots", "is there room in the TPM, and has somebody left something in it?", short, nil, slots},
	{"key-sizes", "which sizes of RSA keys has the TPM?", short, nil, keySizes},
	{"hashes", "which hashes has the TPM?", short, nil, hashes},
	{"trial-signature", "does a new key sign, for Go programs?", long, nil, trialSignature},
	{"storage-key", "is the standard parent of keys persistent, and without a password?", short, nil, storageKey},
	{"raw-rsa", "does the TPM do the bare RSA operation, for padding in software?", long, nil, rawRSA},
	{"pss-salt", "which salt does the TPM take for PSS, and does TLS 1.3 work?", long, nil, pssSalt},
	{"latency", "how long do operations take?", long, nil, latency},
	{"module-works", "does a new key sign through the module, in C programs that fork?", long, nil, moduleWorks},
	{"keys-load", "are the keys of this TPM?", long, nil, keysLoad},

	{"key-directories", "are the key directories this user's alone?", quick, keyDirectories, nil},
	{"key-files", "can the key files be used?", quick, keyFiles, nil},
	{"certificates", "are certificates of their keys, and valid?", quick, certificates, nil},
	{"pin-prompt", "can somebody be asked for a PIN?", quick, asking, nil},
	{"module-file", "is the PKCS #11 module installed?", quick, moduleFile, nil},
	{"module-ssh-agent", "does ssh-agent take the module from where it is?", quick, agentRule, nil},
	{"module-p11-kit", "does p11-kit know the module?", quick, p11kit, nil},
	{"openssh", "is OpenSSH of a version that can ask for PINs?", quick, openSSH, nil},
	{"ssh-config", "does ssh's configuration name the module?", quick, sshConfig, nil},
	{"ssh-agent", "is the ssh agent one that takes modules?", quick, sshAgent, nil},
	{"libc", "is the C library one that the module loads into?", quick, libc, nil},
	{"kernel-lockdown", "is the kernel locked down?", quick, lockdown, nil},
	{"landlock", "has the kernel Landlock?", quick, landlock, nil},
	{"seccomp", "has the kernel seccomp?", quick, seccomp, nil},
	{"clock", "is the clock right?", quick, clock, nil},
}
