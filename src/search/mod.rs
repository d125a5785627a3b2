//! **Which direction next?**
