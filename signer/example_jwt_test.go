package signer_test

import (
	"fmt"
	"log"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"

	"tpmkey.example/signer"
)

// A JSON Web Token that a key in the TPM signs, with RS256 or PS256.
func Example_jwt() {
	key, err := signer.Open("web")
	if err != nil {
		log.Fatal(err)
	}
	defer key.Close()
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256} {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: cryptosigner.Opaque(key)}, nil)
		if err != nil {
			log.Fatal(err)
		}
		token, err := jwt.Signed(s).Claims(jwt.Claims{Subject: "me"}).Serialize()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(subject(token, algorithm, key), "by", algorithm)
	}
	// Output:
	// me by RS256
	// me by PS256
}

// subject is what the other side does, with the public key.
func subject(token string, algorithm jose.SignatureAlgorithm, key *signer.Key) string {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		log.Fatal(err)
	}
	var claims jwt.Claims
	if err := parsed.Claims(key.Public(), &claims); err != nil {
		log.Fatal(err)
	}
	return claims.Subject
}
