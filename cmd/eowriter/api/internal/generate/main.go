// Command generate writes the Go code of the API beside its .proto files. It compiles them itself and runs the module's
// tools, so that no other compiler is needed. It runs in the folder of package api, by "go generate ./cmd/eowriter/api".
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// sources are the files that code is written for.
var sources = []string{"eowriter/v1/eowriter.proto", "eowriter/v1/status.proto"}

// tools are the plugins of protoc that write the code, all pinned in go.mod.
var tools = []string{"protoc-gen-go", "protoc-gen-connect-go"}

func main() {
	files, err := generate(".")
	for name, content := range files {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(content), 0o666))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// generate returns the files to be written, by their names from dir.
func generate(dir string) (map[string]string, error) {
	request, err := compile(dir)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, tool := range tools {
		if err := run(tool, request, files); err != nil {
			return nil, fmt.Errorf("%s: %w", tool, err)
		}
	}
	return files, nil
}

// compile makes the plugins' request: the files with all that they import, those before them.
func compile(dir string) ([]byte, error) {
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := c.Compile(context.Background(), sources...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: sources, Parameter: proto.String("paths=source_relative")}
	seen := map[string]bool{}
	for _, file := range compiled {
		request.ProtoFile = withImports(request.ProtoFile, seen, file)
	}
	return proto.Marshal(request)
}

func withImports(files []*descriptorpb.FileDescriptorProto, seen map[string]bool, f protoreflect.FileDescriptor) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return files
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		files = withImports(files, seen, f.Imports().Get(i).FileDescriptor)
	}
	d := protodesc.ToFileDescriptorProto(f)
	return append(files, d)
}

// run adds the files that a plugin writes.
func run(tool string, request []byte, files map[string]string) error {
	cmd := exec.Command("go", "tool", tool)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(request), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(out, response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, f := range response.File {
		files[f.GetName()] = f.GetContent()
	}
	return nil
}
