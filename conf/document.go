package conf

// Document is a TOML text as a tree, with the line of every key. It is for the other TOML files of the project, whose
// keys are their own: syntax errors, lines and the form of errors are those of the configuration.
type Document struct {
	Tree map[string]any
	file string
	idx  *index
}

// ReadDocument reads TOML text; file stands for it in errors. All mistakes in the syntax that can be told apart are
// reported; where there are any, the tree holds the rest.
func ReadDocument(file string, text []byte) (*Document, Errors) {
	tree, idx, errs := parseTree(file, string(text))
	return &Document{Tree: tree, file: file, idx: idx}, errs
}

// Error returns an error at path, "stream[1].size", with the line of it or of the nearest table around it.
func (d *Document) Error(path, message string) Error {
	return Error{File: d.file, Line: d.idx.line(path), Key: path, Message: message}
}

// Sorted returns the errors in the order of their lines.
func (e Errors) Sorted() Errors {
	e.sort()
	return e
}

// Describe says what a TOML value is, for people: "the string "x"", "an array", "17".
func Describe(v any) string { return describe(v) }

// Suggest returns ": did you mean …", or the list of what is known behind intro.
func Suggest(name string, known []string, intro string) string { return suggest(name, known, intro) }
