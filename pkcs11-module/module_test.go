package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/miekg/pkcs11"
	"github.com/rogpeppe/go-internal/testscript"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// hostVariable makes the test binary a host of the module that it names.
const hostVariable = "TPMKEY_TEST_HOST"

func TestMain(m *testing.M) {
	if module := os.Getenv(hostVariable); module != "" {
		if err := hostMain(module); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// buildDir is where the module is built, once for all tests.
var buildDir string

var built = sync.OnceValues(func() (string, error) {
	var err error
	if buildDir, err = os.MkdirTemp("", "tpmkey-module-"); err != nil {
		return "", err
	}
	if err := os.Chmod(buildDir, 0o755); err != nil {
		return "", err
	}
	module := filepath.Join(buildDir, "tpmkey-pkcs11.so")
	helper := filepath.Join(buildDir, "tpmkey-pkcs11-helper")
	return module, makeFiles("BUILD="+buildDir, "libexecdir=/nowhere", module, helper)
})

// makeFiles has the Makefile make what users get.
func makeFiles(arguments ...string) error {
	output, err := exec.Command("make", append([]string{"-s", "-C", ".."}, arguments...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make %q: %w\n%s", arguments, err, output)
	}
	return nil
}

// module is the path of the module as users get it.
func module(t testing.TB) string {
	t.Helper()
	tpmtest.Need(t, "make", "gcc")
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// setting is a user with one key, on a chip whose commands are recorded.
type setting struct {
	home string
	spec string
	tpm  *tpmtest.Recorder
	key  *provider.Key
}

func newSetting(t testing.TB, persistent bool) *setting {
	t.Helper()
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	if persistent {
		tpmtest.PersistSRK(t, raw)
	}
	s := &setting{home: t.TempDir(), tpm: tpmtest.Record(raw)}
	s.spec = tpmtest.Serve(t, s.tpm)
	p := provider.Open([]string{filepath.Join(s.home, "tpmkey")}, func() (transport.TPMCloser, error) { return device.Open(s.spec) })
	defer p.Close()
	var err error
	if s.key, err = p.Create("demo", provider.Template{}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *setting) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "XDG_DATA_HOME=" + s.home, "TPMKEY_DEVICE=" + s.spec}
}

// A host in C: NULL everywhere, closed handles, threads, signals, fork.
func TestHostInC(t *testing.T) {
	module := module(t)
	program := hostInC(t, "host")
	for _, mode := range []string{"null", "closed", "threads", "signals", "fork"} {
		t.Run(mode, func(t *testing.T) {
			s := newSetting(t, true)
			c := exec.Command(program, module, mode)
			c.Env = s.environment()
			if output, err := c.CombinedOutput(); err != nil || len(output) > 0 {
				t.Errorf("%v\n%s", err, output)
			}
			if leaks, err := tpmtest.Leaks(s.tpm); err != nil || len(leaks) > 0 {
				t.Errorf("left in the chip: %v, %v", leaks, err)
			}
		})
	}
}

// No call looks for a function of another library first: it may be made in a handler, or in a child of a fork.
func TestBoundWhenLoaded(t *testing.T) {
	file, err := elf.Open(module(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	flags, err := file.DynValue(elf.DT_FLAGS)
	if err != nil || len(flags) != 1 || elf.DynFlag(flags[0])&elf.DF_BIND_NOW == 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
}

// The file shows the three functions of the standard and nothing else.
func TestExports(t *testing.T) {
	file, err := elf.Open(module(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var exported []string
	for _, symbol := range symbols {
		if symbol.Section != elf.SHN_UNDEF && elf.ST_BIND(symbol.Info) != elf.STB_LOCAL {
			exported = append(exported, symbol.Name)
		}
	}
	slices.Sort(exported)
	if want := []string{"C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"}; !slices.Equal(exported, want) {
		t.Errorf("exported: %v", exported)
	}
}

// A host in Go: github.com/miekg/pkcs11, which crypto11 and many programs are made of. It runs in a process of its own, because the module reads its
// environment once.
func TestHostInGo(t *testing.T) {
	module := module(t)
	s := newSetting(t, false)
	c := exec.Command("/proc/self/exe")
	c.Env = append(s.environment(), hostVariable+"="+module)
	if output, err := c.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("%v\n%s", err, output)
	}
}

func hostMain(module string) error {
	p := pkcs11.New(module)
	if p == nil {
		return fmt.Errorf("%s does not load", module)
	}
	defer p.Destroy()
	if err := p.Initialize(); err != nil {
		return err
	}
	defer p.Finalize()
	session, err := p.OpenSession(0, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return err
	}
	if err := p.Login(session, pkcs11.CKU_USER, ""); err != nil { // crypto11 always does
		return err
	}
	public, private, err := p.GenerateKeyPair(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
		[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, 2048), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, "made")},
		[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, "made")})
	if err != nil {
		return err
	}
	key, err := publicKey(p, session, public)
	if err != nil {
		return err
	}
	if err := hostSigns(p, session, private, key); err != nil {
		return err
	}
	return hostDecrypts(p, session, private, key)
}

func publicKey(p *pkcs11.Ctx, session pkcs11.SessionHandle, object pkcs11.ObjectHandle) (*rsa.PublicKey, error) {
	const publicKeyInfo = 0x129 // CKA_PUBLIC_KEY_INFO
	values, err := p.GetAttributeValue(session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(publicKeyInfo, nil)})
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(values[0].Value)
	if err != nil {
		return nil, err
	}
	return key.(*rsa.PublicKey), nil
}

func hostSigns(p *pkcs11.Ctx, session pkcs11.SessionHandle, private pkcs11.ObjectHandle, key *rsa.PublicKey) error {
	digest := sha256.Sum256([]byte("data"))
	params := pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 32)
	if err := p.SignInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, params)}, private); err != nil {
		return err
	}
	signature, err := p.Sign(session, digest[:])
	if err != nil {
		return err
	}
	return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: 32})
}

// hostDecrypts uses a label, which the front follows a pointer for.
func hostDecrypts(p *pkcs11.Ctx, session pkcs11.SessionHandle, private pkcs11.ObjectHandle, key *rsa.PublicKey) error {
	label := []byte("a label")
	ciphertext, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, key, []byte("secret"), label)
	if err != nil {
		return err
	}
	params := pkcs11.NewOAEPParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, pkcs11.CKZ_DATA_SPECIFIED, label)
	if err := p.DecryptInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_OAEP, params)}, private); err != nil {
		return err
	}
	plaintext, err := p.Decrypt(session, ciphertext)
	if err == nil && !bytes.Equal(plaintext, []byte("secret")) {
		err = fmt.Errorf("decrypted %q", plaintext)
	}
	return err
}

// The programs that people use the module with, each as its user would call it.
func TestConsumers(t *testing.T) {
	tpmtest.Need(t, "ssh", "ssh-keygen", "ssh-agent", "ssh-add", "pkcs11-tool", "p11tool", "openssl")
	testscript.Run(t, consumers(t, "testdata", func(t testing.TB) *setting { return newSetting(t, false) }))
}

// consumers are the scripts of a folder, each in a setting of its own.
func consumers(t *testing.T, dir string, set func(testing.TB) *setting) testscript.Params {
	t.Helper()
	module := module(t)
	account, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			s := set(env.T().(testing.TB))
			env.Values["tpm"] = s.tpm
			for name, value := range map[string]string{
				"TPMKEY_DEVICE": s.spec, "XDG_DATA_HOME": s.home, "HOME": env.WorkDir, "TPMKEY_LOG": filepath.Join(env.WorkDir, "module.log"),
				"MODULE": module, "MODULES": filepath.Dir(module), "PUB": filepath.Join(s.home, "tpmkey", "demo.pub"), "USER": account.Username, "SSHD": sshd(t),
			} {
				env.Setenv(name, value)
			}
			s.tpm.Reset()
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"commands": checkCommands},
	}
}

// sshd is not in everybody's PATH.
func sshd(t *testing.T) string {
	t.Helper()
	const path = "/usr/sbin/sshd"
	tpmtest.Need(t, path)
	return path
}

// checkCommands wants the chip to have seen these commands since the last check, by their names in the specification.
func checkCommands(script *testscript.TestScript, negated bool, names []string) {
	tpm := script.Value("tpm").(*tpmtest.Recorder)
	var got []string
	for _, code := range tpm.Commands() {
		got = append(got, strings.TrimPrefix(wire.ShapeOf(tpm2.TPMCC(code)).Name, "TPM2_"))
	}
	tpm.Reset()
	if negated || !slices.Equal(got, names) {
		script.Fatalf("the chip saw %q", got)
	}
}
