// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// An entry is what a file holds about one tag of an object, under a key that tells
// what it is (see factbucket.go):
//
//	version    1 byte
//	checksum   4 bytes, little endian: CRC-32C of the object's name, the entry's
//	           key, the version, and all that follows
//	content    of a fact: flags, 1 byte; the digest, as the flags say; seen and
//	           created as varints; the source of created as uvarint; platforms and
//	           verdicts, each after their number as uvarint. Texts are written
//	           after their length as uvarint.
//
// A platform is the uvarint of its place in the list of those that are common, or
// zero and the text. Of a verdict, its end is written as the difference to its
// beginning.
//
// Version 1 had no source of created. Its facts state times of creation that have no
// meaning, and lack platforms which an index does not name. They can't be read, and are
// learned again.
const (
	entryVersion = 2
	entryHeader  = 1 + crc32.Size

	flagMoved  = 1 << 0
	flagRead   = 1 << 1
	flagSHA256 = 1 << 2 // the digest is 32 bytes, and otherwise a text
	flagsKnown = flagMoved | flagRead | flagSHA256

	sha256Prefix = "sha256:"
	sha256Bytes  = 32
)

// commonPlatforms are written as numbers, from 1 on. More may be added at the end
// only.
var commonPlatforms = []string{
	"linux/amd64", "linux/arm64", "linux/arm64/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5", "linux/arm",
	"linux/386", "linux/ppc64le", "linux/s390x", "linux/riscv64", "linux/mips64le", "linux/loong64", "windows/amd64",
}

var errFact = errors.New("malformed fact")

// sealer makes and checks the checksums of one object's entries.
type sealer uint32

func sealerOf(name []byte) sealer { return sealer(crc32.Update(0, castagnoli, name)) }

// newEntry begins an entry, to which the content is appended.
func newEntry() []byte { return append(make([]byte, 0, 64), entryVersion, 0, 0, 0, 0) }

// seal ends an entry under a key.
func (s sealer) seal(key, entry []byte) []byte {
	binary.LittleEndian.PutUint32(entry[1:], s.checksum(key, entry))
	return entry
}

// open checks an entry under a key, and returns its content.
func (s sealer) open(key, entry []byte) (*input, error) {
	if len(entry) < entryHeader {
		return nil, fmt.Errorf("fact of %d bytes is cut short", len(entry))
	}
	if entry[0] != entryVersion {
		return nil, fmt.Errorf("fact has version %d, and only %d is known", entry[0], entryVersion)
	}
	if binary.LittleEndian.Uint32(entry[1:]) != s.checksum(key, entry) {
		return nil, errors.New("fact does not match its checksum")
	}
	return &input{rest: entry[entryHeader:]}, nil
}

func (s sealer) checksum(key, entry []byte) uint32 {
	sum := crc32.Update(uint32(s), castagnoli, key)
	sum = crc32.Update(sum, castagnoli, entry[:1])
	return crc32.Update(sum, castagnoli, entry[entryHeader:])
}

// encodeFact returns the entry of a fact that validateFacts accepts.
func (s sealer) encodeFact(key []byte, fact admission.Fact) []byte {
	return s.seal(key, appendFact(newEntry(), fact))
}

// decodeFact is the reverse of encodeFact. Every error means that the entry is
// damaged, or of a version that this program can't read.
func (s sealer) decodeFact(key, entry []byte) (admission.Fact, error) {
	in, err := s.open(key, entry)
	if err != nil {
		return admission.Fact{}, err
	}
	return parseFact(in)
}

func appendFact(b []byte, fact admission.Fact) []byte {
	raw, isSHA256 := rawSHA256(fact.Digest)
	b = append(b, flagIf(fact.Moved, flagMoved)|flagIf(fact.Read, flagRead)|flagIf(isSHA256, flagSHA256))
	if isSHA256 {
		b = append(b, raw...)
	} else {
		b = appendText(b, fact.Digest)
	}
	b = binary.AppendVarint(b, fact.Seen)
	b = binary.AppendVarint(b, fact.Created)
	b = binary.AppendUvarint(b, uint64(fact.CreatedBy))
	b = binary.AppendUvarint(b, uint64(len(fact.Platforms)))
	for _, platform := range fact.Platforms {
		number := 1 + slices.Index(commonPlatforms, platform)
		b = binary.AppendUvarint(b, uint64(number))
		if number == 0 {
			b = appendText(b, platform)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(fact.Verdicts)))
	for _, v := range fact.Verdicts {
		b = appendText(b, v.Rule)
		b = binary.AppendVarint(b, v.Since)
		b = binary.AppendVarint(b, v.At-v.Since)
		b = appendText(appendText(b, v.Signer), v.Problem)
	}
	return b
}

// parseFact is the reverse of appendFact. Whatever the input is, it does not
// panic, and what it returns can be stored.
func parseFact(in *input) (admission.Fact, error) {
	flags := in.byte()
	fact := admission.Fact{Moved: flags&flagMoved != 0, Read: flags&flagRead != 0}
	if flags&flagSHA256 != 0 {
		fact.Digest = in.sha256()
	} else {
		fact.Digest = in.text()
	}
	fact.Seen = in.varint()
	fact.Created = in.varint()
	fact.CreatedBy = admission.CreatedBy(in.bounded(uint64(admission.LastCreatedBy)))
	fact.Platforms = in.platforms()
	fact.Verdicts = in.verdicts()
	if in.failed || len(in.rest) > 0 || flags&^flagsKnown != 0 {
		return admission.Fact{}, errFact
	}
	return fact, nil
}

func (in *input) sha256() string {
	var text [len(sha256Prefix) + 2*sha256Bytes]byte
	copy(text[:], sha256Prefix)
	hex.Encode(text[len(sha256Prefix):], in.take(sha256Bytes))
	return string(text[:])
}

func (in *input) platforms() []string {
	n := in.bounded(MaxPlatforms)
	if n == 0 {
		return nil
	}
	platforms := make([]string, n)
	for i := range platforms {
		number := in.uvarint()
		switch {
		case number == 0:
			platforms[i] = in.text()
		case number <= uint64(len(commonPlatforms)):
			platforms[i] = commonPlatforms[number-1]
		default:
			in.fail()
		}
	}
	return platforms
}

func (in *input) verdicts() []admission.Verdict {
	n := in.bounded(admission.MaxVerdicts)
	if n == 0 {
		return nil
	}
	verdicts := make([]admission.Verdict, n)
	for i := range verdicts {
		v := &verdicts[i]
		v.Rule, v.Since = in.text(), in.varint()
		v.At = v.Since + in.varint()
		v.Signer, v.Problem = in.text(), in.text()
	}
	return verdicts
}

// bounded reads a number that is at most limit.
func (in *input) bounded(limit uint64) uint64 {
	n := in.uvarint()
	if n > limit {
		in.fail()
		return 0
	}
	return n
}

// text reads what appendText wrote.
func (in *input) text() string { return string(in.take(in.bounded(MaxFactText))) }

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func flagIf(set bool, flag byte) byte {
	if set {
		return flag
	}
	return 0
}

// rawSHA256 returns the bytes that a digest stands for, and whether they stand for
// it in turn: upper case, for one, they do not give back.
func rawSHA256(digest string) ([]byte, bool) {
	text, ok := strings.CutPrefix(digest, sha256Prefix)
	if !ok || len(text) != 2*sha256Bytes {
		return nil, false
	}
	raw, err := hex.DecodeString(text)
	return raw, err == nil && hex.EncodeToString(raw) == text
}
