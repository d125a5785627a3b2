//! Everything that needs the binary, the shipped files, or more than one room.

mod bench;
