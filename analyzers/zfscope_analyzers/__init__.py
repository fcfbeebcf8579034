"""The analyzers that come with zfscope, a module or a package each, by the same entry points as anyone's."""
