package signer_test

import (
	"fmt"
	"log"
	"net"

	"golang.org/x/crypto/ssh"

	"tpmkey.example/signer"
)

// An SSH server whose host key is in the TPM.
func Example_sshServer() {
	key, err := signer.Open("web")
	if err != nil {
		log.Fatal(err)
	}
	defer key.Close()
	host, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		log.Fatal(err)
	}
	config := &ssh.ServerConfig{NoClientAuth: true} // a real one asks for a key
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go welcome(listener, config)

	client, err := ssh.Dial("tcp", listener.Addr().String(), &ssh.ClientConfig{
		HostKeyCallback:   ssh.FixedHostKey(host.PublicKey()),
		HostKeyAlgorithms: []string{ssh.KeyAlgoRSASHA512},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println("the server has the host key", host.PublicKey().Type())
	// Output: the server has the host key ssh-rsa
}

// welcome serves one client.
func welcome(listener net.Listener, config *ssh.ServerConfig) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		channel.Reject(ssh.Prohibited, "there is nothing here")
	}
	server.Wait()
}
