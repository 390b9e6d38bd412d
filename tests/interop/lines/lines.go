// Package lines is the loop that every interop driver shares: one JSON object per line, requests on standard input, answers and events on
// standard output.
//
//	request   {"id":1,"op":"peers",…arguments}
//	answer    {"id":1,"ok":true,…fields}   or   {"id":1,"error":"why"}
//	event     {"event":"peer_up",…fields}
//
// Standard output belongs to this package alone: a library that prints gets standard error instead.
package lines

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// maxLine bounds one request: a payload of 10 MiB in hex and its frame.
const maxLine = 24 << 20

// Fields are the members of an answer or an event.
type Fields map[string]interface{}

// Request is one line from the test; Into reads its arguments.
type Request struct {
	id   json.RawMessage
	op   string
	args []byte
}

// Into decodes the arguments and refuses those that the operation does not know, so that a misspelt one cannot pass for its default.
func (r Request) Into(arguments interface{}) error {
	decoder := json.NewDecoder(bytes.NewReader(r.args))
	decoder.DisallowUnknownFields()
	return decoder.Decode(arguments)
}

// Op carries out one request. Requests are carried out one after the other, in the order of their lines.
type Op func(Request) (Fields, error)

// Port is the driver's end of the two streams.
type Port struct {
	mutex sync.Mutex
	out   io.Writer
	in    io.Reader
}

// Open takes standard input and output over.
func Open() *Port {
	port := &Port{out: os.Stdout, in: os.Stdin}
	os.Stdout = os.Stderr
	return port
}

// Event writes an unsolicited line.
func (p *Port) Event(name string, fields Fields) {
	line := Fields{}
	for key, value := range fields {
		line[key] = value
	}
	line["event"] = name
	p.write(line)
}

// Serve answers requests until standard input ends.
func (p *Port) Serve(ops map[string]Op) error {
	scanner := bufio.NewScanner(p.in)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	for scanner.Scan() {
		if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
			continue
		}
		request, err := parse(scanner.Bytes())
		if err != nil {
			p.write(Fields{"id": request.id, "error": err.Error()})
			continue
		}
		p.answer(request, ops[request.op])
	}
	return scanner.Err()
}

func (p *Port) answer(request Request, op Op) {
	if op == nil {
		p.write(Fields{"id": request.id, "error": fmt.Sprintf("unknown op %q", request.op)})
		return
	}
	fields, err := op(request)
	if err != nil {
		p.write(Fields{"id": request.id, "error": err.Error()})
		return
	}
	line := Fields{}
	for key, value := range fields {
		line[key] = value
	}
	line["id"], line["ok"] = request.id, true
	p.write(line)
}

func (p *Port) write(line Fields) {
	encoded, err := json.Marshal(line)
	if err != nil {
		encoded, _ = json.Marshal(Fields{"id": line["id"], "event": line["event"], "error": "cannot encode the line: " + err.Error()})
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if _, err := p.out.Write(append(encoded, '\n')); err != nil {
		fmt.Fprintln(os.Stderr, "the test no longer reads:", err)
		os.Exit(1)
	}
}

func parse(line []byte) (Request, error) {
	request := Request{id: json.RawMessage("null")}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return request, fmt.Errorf("not a JSON object: %w", err)
	}
	if id, ok := members["id"]; ok {
		request.id = id
	}
	if err := json.Unmarshal(members["op"], &request.op); err != nil {
		return request, errors.New("the member op is missing or no text")
	}
	delete(members, "id")
	delete(members, "op")
	args, err := json.Marshal(members)
	request.args = args
	return request, err
}

// Hex is a byte string: lower-case hex without 0x on the way out, with or without 0x on the way in.
type Hex []byte

// MarshalJSON writes the hex text.
func (h Hex) MarshalJSON() ([]byte, error) { return json.Marshal(hex.EncodeToString(h)) }

// UnmarshalJSON reads the hex text.
func (h *Hex) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	decoded, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	*h = decoded
	return err
}

// Fixed copies the bytes into an array of exactly their length, or says what it wanted.
func (h Hex) Fixed(name string, array []byte) error {
	if len(h) != len(array) {
		return fmt.Errorf("%s: want %d bytes, got %d", name, len(array), len(h))
	}
	copy(array, h)
	return nil
}

// Fail ends a driver that cannot start.
func Fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
