package walls

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoNameIsHidden finds names of a package of caddymodule that a parameter or
// a variable in a function hides. A reader of the function then takes the one for
// the other. It also holds the directory itself to few files.
func TestNoNameIsHidden(t *testing.T) {
	packageNames := map[string]map[string]bool{} // by directory
	locals := map[string][]*ast.Ident{}
	sets := map[*ast.Ident]*token.FileSet{}
	flat := 0
	eachGoFile(t, func(name string, fset *token.FileSet, file *ast.File) {
		dir := filepath.ToSlash(filepath.Dir(name))
		if !strings.Contains(dir+"/", "/caddymodule/") || strings.HasSuffix(name, "_test.go") {
			return
		}
		if strings.HasSuffix(dir, "/caddymodule") {
			flat++
		}
		if packageNames[dir] == nil {
			packageNames[dir] = map[string]bool{}
		}
		for _, ident := range declared(file) {
			packageNames[dir][ident.Name] = true
		}
		for _, ident := range inFunctions(file) {
			locals[dir] = append(locals[dir], ident)
			sets[ident] = fset
		}
	})
	if flat == 0 || flat > 6 {
		t.Errorf("%d files flat in caddymodule, want 1 to 6", flat)
	}
	if len(packageNames) < 8 {
		t.Errorf("%d packages found", len(packageNames))
	}
	for dir, idents := range locals {
		for _, ident := range idents {
			if ident.Name != "_" && packageNames[dir][ident.Name] {
				t.Errorf("%s: %s hides a name of the package", sets[ident].Position(ident.Pos()), ident.Name)
			}
		}
	}
}

// declared returns the names that a file declares for its package.
func declared(file *ast.File) (all []*ast.Ident) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				all = append(all, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					all = append(all, spec.Name)
				case *ast.ValueSpec:
					all = append(all, spec.Names...)
				}
			}
		}
	}
	return all
}

// inFunctions returns the names that functions declare for themselves.
func inFunctions(file *ast.File) (all []*ast.Ident) {
	add := func(e ast.Expr) {
		if ident, ok := e.(*ast.Ident); ok {
			all = append(all, ident)
		}
	}
	fields := func(list *ast.FieldList) {
		if list != nil {
			for _, field := range list.List {
				all = append(all, field.Names...)
			}
		}
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		fields(f.Recv)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncType:
				fields(n.TypeParams)
				fields(n.Params)
				fields(n.Results)
			case *ast.AssignStmt:
				if n.Tok == token.DEFINE {
					for _, e := range n.Lhs {
						add(e)
					}
				}
			case *ast.RangeStmt:
				if n.Tok == token.DEFINE {
					add(n.Key)
					add(n.Value)
				}
			case *ast.ValueSpec:
				all = append(all, n.Names...)
			case *ast.TypeSpec:
				all = append(all, n.Name)
			}
			return true
		})
	}
	return all
}
