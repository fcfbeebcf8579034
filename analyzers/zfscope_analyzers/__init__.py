"""The analyzers that come with zfscope, one file each, by the same entry points as anyone's."""
