package main

import (
	"crypto/ecdsa"
	"io/ioutil"
	"os"

	"github.com/google/uuid"

	"github.com/status-im/status-go/eth-node/crypto"
)

// loadKey reads a key or makes one that the next start will find.
func loadKey(path string) (*ecdsa.PrivateKey, error) {
	if key, err := crypto.LoadECDSA(path); err == nil || !os.IsNotExist(err) {
		return key, err
	}
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	return key, crypto.SaveECDSA(path, key)
}

// loadInstallation reads the name of this device or makes one: the double ratchet knows devices by it.
func loadInstallation(path string) (string, error) {
	text, err := ioutil.ReadFile(path)
	if err == nil || !os.IsNotExist(err) {
		return string(text), err
	}
	installation := uuid.New().String()
	return installation, ioutil.WriteFile(path, []byte(installation), 0600)
}
