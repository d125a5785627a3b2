//! **Which jobs reproduce the paper, and who plugs into whom?**
